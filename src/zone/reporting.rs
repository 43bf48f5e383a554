//! Which blocks a zone can do without while they are being reported to the host.

use crate::base::{Geometry, MigrateType, Mobility, Order};
use crate::limits::Mark;
use crate::records::Descriptors;
use crate::zone::lock::ZoneInner;

impl<G: Geometry> ZoneInner<G> {
    /// Takes a block of at least `least` off its list, to be reported. Returns false if there is
    /// none.
    ///
    /// The zone keeps its high watermark of free pages for requests that could use the block. (In
    /// Linux the low one, and a batch.) Movable-only memory has no watermark, and is taken while
    /// the other memory of the zone is at its high watermark.
    pub(crate) fn take_for_report(&mut self, desc: &Descriptors<'_, G>, least: Order) -> bool {
        let counters = *self.buddy.counters();
        let high = self.marks.get(Mark::High);
        if counters.pages_above(0, Mobility::Unmovable, false).other < high {
            return false;
        }
        let spare = |mobility| counters.pages_above(high, mobility, false).other;
        self.buddy.take_for_report(desc, least, |migratetype, pages| match migratetype {
            MigrateType::MovableOnly => true,
            MigrateType::Cma => spare(Mobility::Movable) >= pages,
            MigrateType::Unmovable
            | MigrateType::Movable
            | MigrateType::Reclaimable
            | MigrateType::HighAtomic => spare(Mobility::Unmovable) >= pages,
        })
    }
}
