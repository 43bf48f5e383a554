//! Floor 12: contiguous allocation: isolate a range, migrate its pages, test, take.
//!
//! | file | what it has |
//! |---|---|
//! | [`error`] | why a range was not allocated |
//! | [`options`] | how hard to try, and how much may be taken |
//! | [`mark`] | the free pages that a zone must keep |
//! | [`move_block`] | migrates one block |
//! | [`mod@evacuate`] | migrates all blocks of an isolated range, in a bounded number of attempts |
//! | [`contig_range`] | the handle of a contiguous allocation, and how one is freed |
//! | [`mod@free_range`] | frees a range of frames, however they were allocated |
//! | [`survey`] | where a range cannot lie, before anything is touched |
//! | [`search`] | finds a place for a range |

mod contig_range;
mod error;
mod evacuate;
mod free_range;
mod mark;
mod move_block;
mod options;
mod pin;
mod search;
mod survey;

pub use contig_range::ContigRange;
pub(crate) use contig_range::free_contig;
pub use error::ContigError;
pub use evacuate::ContigStats;
pub(crate) use evacuate::{evacuate, take};
pub(crate) use free_range::free_range;
pub(crate) use move_block::{Moved, move_block};
pub use options::ContigOptions;
pub use pin::PinError;
pub(crate) use pin::set_pinned;
pub use search::ContigPlace;
pub(crate) use search::alloc_anywhere;
pub(crate) use survey::{Blocked, Survey, behind};
