//! Floor 13: reports: audits, verification and snapshots.
//!
//! | file | what it has |
//! |---|---|
//! | [`mod@audit`] | compares every counter with a walk of the lists |
//! | [`freeze`] | locks the pcplists and a zone, so that nothing in it changes |
//! | [`mod@verify`] | checks every invariant with a walk of the frames |
//! | [`block_counts`] | free blocks by order: buddyinfo, pagetypeinfo |
//! | [`figures`] | page counts: zoneinfo, meminfo |
//! | [`state`] | all that later calls depend on, for searches of all states |

mod audit;
mod block_counts;
mod figures;
mod freeze;
mod state;
mod verify;

pub(crate) use audit::audit;
pub use audit::{AuditReport, Reading, ZoneAudit};
pub use block_counts::{BuddyInfo, PageTypeInfo, ZoneBlocks};
pub(crate) use block_counts::{buddyinfo, pagetypeinfo};
pub use figures::{MemInfo, ZoneFigures, ZoneInfo};
pub(crate) use figures::{meminfo, zoneinfo};
pub(crate) use state::hash_state;
pub(crate) use verify::verify;
pub use verify::{VerifyReport, Violation, ZoneCensus};
