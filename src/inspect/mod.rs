//! Floor 13: reports: audits, verification and snapshots.
//!
//! | file | what it has |
//! |---|---|
//! | [`audit`] | every counter against a walk of the lists |
//! | [`freeze`] | a zone and its pcplists are locked, so that nothing changes |
//! | [`verify`] | every invariant against a walk of the frames |
//! | [`block_counts`] | free blocks by order: buddyinfo, pagetypeinfo |
//! | [`figures`] | page counts: zoneinfo, meminfo |

pub(crate) mod audit;
pub(crate) mod block_counts;
pub(crate) mod figures;
pub(crate) mod freeze;
pub(crate) mod verify;
