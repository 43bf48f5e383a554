//! Movable-only memory: pageblocks that only movable requests are served from.
//!
//! It is a migratetype that no claim, merge or reserve gives to a pageblock or takes from it: only
//! memory that is added gets it, and keeps it while it is offline. So every page in such a
//! pageblock can be migrated away, as in `ZONE_MOVABLE` of Linux. It is no zone of its own, so that
//! its frames stay in the zone of their address, and a request that is not movable looks at no list
//! more than before.

use crate::base::{Geometry, MigrateType, Pageblock, PfnRange};
use crate::buddy::counters::Change;
use crate::buddy::lists::Buddy;
use crate::records::Descriptors;

impl<G: Geometry> Buddy<G> {
    /// The managed frames of movable-only memory.
    pub(crate) fn movable_only(&self) -> usize {
        self.movable_only
    }

    /// Counts the frames of `range` that are in movable-only pageblocks: they become managed, or
    /// are managed no more.
    pub(crate) fn count_movable_only(&mut self, desc: &Descriptors<'_, G>, range: PfnRange, change: Change) {
        for pageblock in Pageblock::covering::<G>(range) {
            if desc.pageblocks.state(pageblock.start()).migratetype == MigrateType::MovableOnly {
                let frames = pageblock.range::<G>().intersection(range).len();
                self.movable_only = match change {
                    Change::Join => self.movable_only + frames,
                    Change::Leave => self.movable_only - frames,
                };
            }
        }
    }
}
