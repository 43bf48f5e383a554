//! Makes an allocator of a memory map, and sets the limits that depend on the managed pages.

use crate::base::{Geometry, InitError, Pageblock, PfnRange, Platform};
use crate::boot::{MemoryMap, Metadata};
use crate::instruments::FaultSwitch;
use crate::limits::{PcpLimits, Watermarks, default_min_pages, lowmem_reserves};
use crate::page_allocator::allocator::PageAllocator;
use crate::page_allocator::events::EventCounters;
use crate::page_allocator::rate_limit::Diagnostics;
use crate::page_allocator::tuning::Tuning;
use crate::records::{
    Descriptors, FrameState, FrameTable, GuardHook, IsolatedFrames, PageblockMap, PageblockState, StateCell,
    WordCell,
};

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Makes an allocator of the usable frames of a map, all of them free.
    ///
    /// Call it once, on the boot CPU. `metadata` must have been made for this map, or for one whose
    /// span includes that of this map. Takes time in proportion to the frames of the holes, and to
    /// the pageblocks, for each of which it writes a byte. The records of usable frames are written
    /// when they are first used, one largest block at a time.
    ///
    /// # Errors
    ///
    /// [`InitError::EmptyMap`]; [`InitError::MetadataTooSmall`] if the metadata is for another map;
    /// [`InitError::TooFewCpus`]; [`InitError::GuardOrderTooLarge`].
    pub fn new<const N: usize>(
        platform: P,
        map: &MemoryMap<N>,
        metadata: Metadata<'m, G>,
        tuning: Tuning,
    ) -> Result<Self, InitError> {
        let usable = map.span().ok_or(InitError::EmptyMap)?;
        let Metadata { states, words, pageblocks, summaries, trees, isolated, lists, zones, span, .. } =
            metadata;
        if !span.covers(usable) {
            return Err(InitError::MetadataTooSmall {
                given: size_of_val(states) + size_of_val(words),
                needed: usable.len() * (size_of::<StateCell>() + size_of::<WordCell>()),
            });
        }
        Self::check(&platform, lists.len(), tuning)?;
        let desc = Descriptors {
            frames: FrameTable::new(states, words, span.start()),
            pageblocks: PageblockMap::new(pageblocks, summaries, trees, span.start()),
            isolated: IsolatedFrames::new(isolated, span.start()),
            faults: FaultSwitch::new(),
            guards: GuardHook::new(),
        };
        let allocator = Self {
            platform,
            desc,
            zones: zones.try_into().unwrap_or_else(|_| unreachable!("one record for each zone")),
            lists,
            first_slots: Default::default(),
            min_free_pages: tuning.min_free_pages,
            diagnostics: Diagnostics::default(),
            events: EventCounters::default(),
        };
        for pageblock in Pageblock::covering::<G>(span) {
            // The state is already the initial one; this stores the zone of the pageblock with it.
            allocator.desc.pageblocks.set_state(pageblock, PageblockState::INITIAL);
        }
        // Zeroed records are tails; holes and reserved frames must be written.
        let mut end = span.start();
        for range in map.usable() {
            allocator.desc.frames.fill(PfnRange::new(end, range.start()), FrameState::HOLE);
            end = range.end();
        }
        allocator.desc.frames.fill(PfnRange::new(end, span.end()), FrameState::HOLE);
        for range in map.reserved() {
            allocator.desc.frames.fill(range, FrameState::RESERVED);
        }
        for range in map.usable() {
            for zone in allocator.zones {
                let part = range.intersection(zone.span());
                allocator.in_zone(zone, |inner| {
                    inner.present += part.len();
                    inner.buddy.add_deferred(&allocator.desc, part);
                });
            }
        }
        for zone in allocator.zones {
            allocator.in_zone(zone, |inner| {
                inner.cma_first_above = tuning.cma_first_above;
                inner.buddy.set_guard_below(tuning.guard_below);
            });
        }
        allocator.set_limits();
        Ok(allocator)
    }

    /// Checks what does not depend on the map.
    pub(super) fn check(platform: &P, cpus: usize, tuning: Tuning) -> Result<(), InitError> {
        let (order, max) = (tuning.guard_below, G::MAX_ORDER);
        if order > max {
            return Err(InitError::GuardOrderTooLarge { order, max });
        }
        let needed = P::PCP_ACCESS.cpus_needed(platform);
        if needed > cpus {
            return Err(InitError::TooFewCpus { given: cpus, needed });
        }
        Ok(())
    }

    /// Recalculates watermarks, lowmem reserves and pcplist limits. Not from interrupt handlers.
    pub(crate) fn recalculate(&self) {
        let revocation = self.revoke_lists();
        self.set_limits();
        self.trim_lists(&revocation);
    }

    /// As [`recalculate`](Self::recalculate), while no CPU has access to its lists.
    fn set_limits(&self) {
        let managed = [0, 1, 2].map(|zone: usize| self.zones()[zone].published().managed());
        let total = managed.iter().sum();
        self.set_first_slots(|zone| managed[zone.index()] > 0);
        let min_total = self.min_free_pages.unwrap_or_else(|| default_min_pages(total)).min(total);
        let reserves = lowmem_reserves(managed);
        for zone in self.zones() {
            let index = zone.kind().index();
            let marks = Watermarks::of_zone(managed[index], total, min_total);
            let limits = PcpLimits::new(managed[index], marks.low, self.lists().len());
            self.in_zone(zone, |inner| {
                inner.marks = marks;
                inner.reserves = reserves[index];
                inner.limits = limits;
            });
            for lists in self.lists() {
                self.platform().without_interrupts(|| {
                    let _locked = lists.access.lock();
                    lists.set_limits::<G>(zone.kind(), limits);
                });
            }
        }
    }
}
