//! Floor 13: reports: audits, verification and snapshots.
//!
//! | file | what it has |
//! |---|---|
//! | [`mod@audit`] | compares every counter with a walk of the lists |
//! | [`freeze`] | locks the pcplists and a zone, so that nothing in it changes |
//! | [`mod@verify`] | checks every invariant with a walk of the frames |
//! | [`block_counts`] | free blocks by order: buddyinfo, pagetypeinfo |
//! | [`figures`] | page counts: zoneinfo, meminfo |
//! | [`mod@vmstat`] | the counts of events |
//! | [`allocated`] | an iterator over the allocated blocks |
//! | [`mod@pageblocks`] | an iterator over the pageblocks |
//! | [`census`] | the allocated pages by owner word or another key |

mod allocated;
mod audit;
mod block_counts;
mod census;
mod figures;
mod freeze;
mod pageblocks;
mod verify;
mod vmstat;

pub use allocated::{AllocatedBlock, AllocatedBlocks, AllocatedState};
pub(crate) use audit::audit;
pub use audit::{AuditReport, Reading, ZoneAudit};
pub use block_counts::{BuddyInfo, PageTypeInfo, ZoneBlocks};
pub(crate) use block_counts::{buddyinfo, pagetypeinfo};
pub use census::{Census, CensusRow};
pub use figures::{MemInfo, ZoneFigures, ZoneInfo};
pub(crate) use figures::{meminfo, zoneinfo};
pub use pageblocks::{PageblockInfo, Pageblocks};
pub(crate) use verify::verify;
pub use verify::{VerifyReport, Violation, ZoneCensus};
pub use vmstat::VmStat;
pub(crate) use vmstat::vmstat;
