//! Makes an allocator of a memory map, and sets the limits that depend on the managed pages.

#![expect(unsafe_code, reason = "the promise of the tuning is passed on")]

use crate::base::{Geometry, InitError, Masked, Mobility, Pfn, PfnRange, Platform};
use crate::boot::{MemoryMap, Metadata};
use crate::instruments::FaultSwitch;
use crate::limits::{PcpLimits, Watermarks, default_min_pages, lowmem_reserves};
use crate::page_allocator::allocator::PageAllocator;
use crate::page_allocator::events::EventCounters;
use crate::page_allocator::rate_limit::Diagnostics;
use crate::page_allocator::tuning::Tuning;
use crate::page_allocator::zone_choice::ZoneChoice;
use crate::pcp::CpuLists;
use crate::records::{
    Descriptors, FrameState, FrameTable, GuardHook, IsolatedFrames, PageOwners, PageblockMap, Poison,
    StateCell, TraceHook, Unwritten, WordCell,
};
use crate::zone::LowmemReserves;

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Makes an allocator of the usable frames of a map, all of them free.
    ///
    /// Call it once, on the boot CPU. `metadata` must have been made for this map, or for one whose
    /// memory includes that of this map. Takes time in proportion to the pageblocks, for each of
    /// which it writes a byte, and to the frames that have a record and are reserved or a hole. The
    /// records of usable frames are written when they are first used, one largest block at a time.
    /// It never calls [`current_cpu`](Platform::current_cpu), which may not work yet.
    ///
    /// For an allocator in a plain `static` see
    /// [`StaticPageAllocator`](crate::StaticPageAllocator).
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
        if map.span().is_none() {
            return Err(InitError::EmptyMap);
        }
        let Metadata {
            states,
            words,
            pageblocks,
            summaries,
            trees,
            isolated,
            sites,
            lists: all_lists,
            zones,
            extents,
            written,
            ..
        } = metadata;
        let Some((exchange, lists)) = all_lists.split_last() else {
            unreachable!("the exchange and at least one CPU")
        };
        let recorded = |range| extents.parts(range).map(|part| part.frames().len()).sum::<usize>();
        let missing: usize = map.usable().map(|range| range.len() - recorded(range)).sum();
        if missing > 0 {
            let given = size_of_val(states) + size_of_val(words);
            let needed = given + missing * (size_of::<StateCell>() + size_of::<WordCell>());
            return Err(InitError::MetadataTooSmall { given, needed });
        }
        Self::check(&platform, lists.len(), tuning)?;
        let unwritten = if written { Unwritten::NONE } else { Unwritten::new::<G>(pageblocks) };
        let desc = Descriptors {
            frames: FrameTable::new(states, words, extents, unwritten),
            unwritten,
            pageblocks: PageblockMap::new(pageblocks, summaries, trees, states, extents),
            isolated: IsolatedFrames::new(isolated, extents, unwritten),
            sites: PageOwners::new(sites, extents),
            // SAFETY: `Tuning::poison_at` has the same promise, for the memory of the map.
            poison: unsafe { Poison::new(tuning.poison) },
            trace: TraceHook::new(),
            faults: FaultSwitch::new(),
            guards: GuardHook::new(),
        };
        let allocator = Self {
            platform,
            desc,
            zones: zones.try_into().unwrap_or_else(|_| unreachable!("one record for each zone")),
            lists,
            all_lists,
            exchange,
            refilled_by: Default::default(),
            choice: ZoneChoice::new(),
            min_free_pages: tuning.min_free_pages,
            diagnostics: Diagnostics::default(),
            events: EventCounters::default(),
        };
        allocator.desc.pageblocks.init(!written);
        // All frames are tails; holes and reserved frames must be written.
        let fill = |range, state| {
            allocator.desc.write_range(range);
            allocator.desc.frames.fill(range, state);
        };
        let all = PfnRange::new(Pfn::new(0), Pfn::new(usize::MAX));
        let mut end = all.start();
        for range in map.usable() {
            fill(PfnRange::new(end, range.start()), FrameState::HOLE);
            end = range.end();
        }
        fill(PfnRange::new(end, all.end()), FrameState::HOLE);
        for range in map.reserved() {
            fill(range, FrameState::RESERVED);
        }
        for range in map.usable() {
            allocator.desc.poison.fill(range);
            for zone in allocator.zones {
                let part = range.intersection(zone.addresses());
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
        let managed = self.zones().each_ref().map(|zone| zone.published().managed());
        // Movable-only memory needs no pages kept back: only requests for it could use them.
        let for_all = self.zones().each_ref().map(|zone| {
            let movable_only = self.in_zone(zone, |inner| inner.buddy.movable_only());
            managed[zone.kind().index()].saturating_sub(movable_only)
        });
        let for_movable = |mobility| mobility == Mobility::Movable;
        {
            let _masked = Masked::new(self.platform());
            self.choice.set_memory(|zone, mobility| {
                (if for_movable(mobility) { managed } else { for_all })[zone.index()] > 0
            });
        }
        let choice = managed.iter().filter(|pages| **pages > 0).count() > 1;
        let total = for_all.iter().sum();
        let min_total = self.min_free_pages.unwrap_or_else(|| default_min_pages(total)).min(total);
        let (unmovable, movable) = (lowmem_reserves(for_all), lowmem_reserves(managed));
        for zone in self.zones() {
            let index = zone.kind().index();
            let marks = Watermarks::of_zone(for_all[index], total, min_total);
            let limits = PcpLimits::new(managed[index], marks.low, self.lists().len());
            let cached = if self.desc.poison.is_on() { PcpLimits::NONE } else { limits };
            self.in_zone(zone, |inner| {
                inner.marks = marks;
                inner.reserves = LowmemReserves { unmovable: unmovable[index], movable: movable[index] };
                inner.limits = limits;
                zone.publish_floors(inner, choice);
            });
            let set = |lists: &CpuLists<'m>, limits| {
                let _masked = Masked::new(self.platform());
                let _locked = lists.access.lock();
                lists.set_limits::<G>(zone.kind(), limits);
            };
            self.lists().iter().for_each(|lists| set(lists, cached));
            set(self.exchange(), cached.of_exchange(managed[index]));
        }
    }
}
