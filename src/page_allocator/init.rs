//! From a memory map to a working allocator, and the limits that follow from the managed pages.

use crate::base::{Geometry, InitError, Pageblock, PfnRange, Platform, ZoneKind};
use crate::boot::{MemoryMap, Metadata};
use crate::instruments::FaultSwitch;
use crate::limits::{PcpLimits, Watermarks, default_min_pages, lowmem_reserves};
use crate::page_allocator::allocator::PageAllocator;
use crate::page_allocator::rate_limit::Diagnostics;
use crate::page_allocator::tuning::Tuning;
use crate::records::{
    Descriptors, FrameState, FrameTable, GuardHook, IsolatedFrames, PageblockMap, PageblockState, StateCell,
    WordCell,
};
use crate::zone::Zone;

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Makes an allocator of the map's usable frames, all of them free.
    ///
    /// Call it once, on the boot CPU. `metadata` must have been made for this map, or for one whose
    /// span includes its own. Takes time in proportion to the holes of the map's span and to the
    /// pageblocks, for each of which it writes a byte; the records of usable frames are written
    /// when these are first used, a largest block at a time.
    ///
    /// # Errors
    ///
    /// [`InitError::EmptyMap`], and [`InitError::MetadataTooSmall`] if the metadata is for another
    /// map.
    pub fn new<const N: usize>(
        platform: P,
        map: &MemoryMap<N>,
        metadata: Metadata<'m, G>,
        tuning: Tuning,
    ) -> Result<Self, InitError> {
        let usable = map.span().ok_or(InitError::EmptyMap)?;
        let Metadata { states, words, pageblocks, summaries, trees, isolated, lists, span, .. } = metadata;
        if !span.covers(usable) {
            return Err(InitError::MetadataTooSmall {
                given: size_of_val(states) + size_of_val(words),
                needed: usable.len() * (size_of::<StateCell>() + size_of::<WordCell>()),
            });
        }
        let desc = Descriptors {
            frames: FrameTable::new(states, words, span.start()),
            pageblocks: PageblockMap::new(pageblocks, summaries, trees, span.start()),
            isolated: IsolatedFrames::new(isolated, span.start()),
            faults: FaultSwitch::new(),
            guards: GuardHook::new(),
        };
        let zone = |kind: ZoneKind| {
            Zone::new(kind, kind.addresses::<G>().intersection(span), tuning.cma_first_above)
        };
        // Not with `map`: in an unoptimised kernel each of its layers would copy these large values
        // on the stack.
        let zones = [zone(ZoneKind::Dma), zone(ZoneKind::Dma32), zone(ZoneKind::Normal)];
        let allocator = Self {
            platform,
            desc,
            zones,
            lists,
            first_slots: Default::default(),
            min_free_pages: tuning.min_free_pages,
            diagnostics: Diagnostics::default(),
        };
        for pageblock in Pageblock::covering::<G>(span) {
            // Stores the zone with the state.
            allocator.desc.pageblocks.set_state(pageblock, PageblockState::INITIAL);
        }
        // Zeroed records are tails. Holes and reserved frames are written here.
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
            for zone in &allocator.zones {
                let part = range.intersection(zone.span());
                allocator.in_zone(zone, |inner| {
                    inner.present += part.len();
                    inner.buddy.add_deferred(&allocator.desc, part);
                });
            }
        }
        for zone in &allocator.zones {
            allocator.in_zone(zone, |inner| inner.buddy.set_guard_below(tuning.guard_below));
        }
        allocator.set_limits();
        Ok(allocator)
    }

    /// Sets watermarks, lowmem reserves and pcplist limits anew, from the managed pages. Not from
    /// interrupt handlers.
    pub(crate) fn recalculate(&self) {
        let _revocation = self.revoke_lists();
        self.set_limits();
    }

    /// As [`recalculate`](Self::recalculate), while no CPU can have access to its lists.
    fn set_limits(&self) {
        let managed = [0, 1, 2].map(|zone: usize| self.zones()[zone].published().managed());
        let total = managed.iter().sum();
        self.set_first_slots(|zone| managed[zone.index()] > 0);
        let min_total = self.min_free_pages.unwrap_or_else(|| default_min_pages(total));
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
