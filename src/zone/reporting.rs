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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::base::{Geometry, MigrateType, Pageblock, Pfn, PfnRange, X86_64};
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};

    #[test]
    fn requests_that_could_use_a_block_keep_the_high_watermark_of_free_pages() {
        let machine = machine(Bare, 8 << 20, Tuning::default());
        let (desc, largest) = (machine.desc(), X86_64::MAX_ORDER);
        machine.in_zone(&machine.zones()[2], |inner| {
            // Two largest blocks, of which one is a CMA area.
            inner.buddy.init_range(desc, machine.span());
            let area = PfnRange::with_len(Pfn::new(1 << 20), largest.pages());
            for pageblock in Pageblock::covering::<X86_64>(area) {
                let state = desc.pageblocks.state(pageblock.start());
                inner.buddy.retype(desc, pageblock, state.with_type(MigrateType::Cma));
            }
            inner.buddy.open_batch();
            inner.marks.high = largest.pages() + 1;
            assert!(!inner.take_for_report(desc, largest), "unmovable requests are below the mark");
            // Movable requests can do without the area, and no request without the other block.
            inner.marks.high = largest.pages();
            assert!(inner.take_for_report(desc, largest));
            assert_eq!(inner.buddy.counters().free_cma(), 0);
            assert!(!inner.take_for_report(desc, largest));
        });
    }
}
