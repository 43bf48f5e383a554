//! Floor 6: the buddy system of one zone: its free blocks, and the counters of its pages.
//!
//! All of it runs with the zone locked. The state of its pageblock decides which list a block
//! joins.
//!
//! | file | what it has |
//! |---|---|
//! | [`free_block`] | [`FreeBlock`]: a block that is on no list and has no owner |
//! | [`counters`] | the page counts, and the functions that change them |
//! | [`events`] | the events of a zone, for statistics |
//! | [`fullness`] | pageblocks grouped by how many of their pages are free |
//! | [`deferred_ranges`] | memory whose frame records have not been written yet |
//! | [`report_batch`] | the blocks that are being reported to the host |
//! | [`misfiled`], [`parking`] | lists that only faults and experimental designs use |
//! | [`lists`] | [`Buddy`]: inserts blocks into lists and removes them |
//! | [`legacy`] | the code of old kernels, for the faults |
//! | [`merge`] | frees a block: merges it with its buddies |
//! | [`idle_guards`] | frees guards that have nothing to guard |
//! | [`deferred_init`] | writes the records of deferred memory when it is first used |
//! | [`local`] | from which pageblock a CPU refills its pcplists |
//! | [`split`] | allocates a block of one migratetype: finds one and splits it |
//! | [`retype`] | changes the state of a pageblock, and the list of its free blocks |
//! | [`fallback`] | allocates a block for a request: from which migratetypes, in which order |
//! | [`reporting`] | takes blocks off the lists to report them to the host, and puts them back |
//! | [`movable_only`] | memory that only movable requests are served from |
//! | [`carve`] | allocates a given range of free frames |
//! | [`hwpoison`] | retires bad frames |
//! | [`walk`] | visits every block on every list, for audits |

mod carve;
mod counters;
mod deferred_init;
mod deferred_ranges;
mod events;
mod fallback;
mod free_block;
mod fullness;
mod hwpoison;
mod idle_guards;
mod legacy;
mod lists;
mod local;
mod merge;
mod misfiled;
mod movable_only;
mod parking;
mod report_batch;
mod reporting;
mod retype;
mod split;
mod walk;

pub(crate) use carve::Taken;
pub(crate) use counters::{Change, Counters, Pool, Room};
pub(crate) use deferred_ranges::DeferredRanges;
pub use events::ZoneEvents;
pub(crate) use fallback::{FromReserve, Wanted};
pub(crate) use free_block::FreeBlock;
pub(crate) use lists::Buddy;
pub(crate) use local::{Reserved, Taker};
pub(crate) use report_batch::Progress;
