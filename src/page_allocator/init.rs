//! From a memory map to a working allocator.

use crate::diagnostics::Diagnostics;
use crate::error::InitError;
use crate::faults::FaultSwitch;
use crate::frame::state::FrameState;
use crate::frame::{FrameTable, StateCell, WordCell};
use crate::geometry::Geometry;
use crate::guard::GuardHook;
use crate::mem_map::MemMap;
use crate::memory_map::MemoryMap;
use crate::metadata::Metadata;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pageblock::{Pageblock, PageblockMap};
use crate::pcp::PcpLimits;
use crate::pfn::PfnRange;
use crate::platform::Platform;
use crate::request::ZoneKind;
use crate::watermark::{Watermarks, default_min_pages, lowmem_reserves};
use crate::zone::Zone;

/// What can be tuned. The default is what Linux does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuning {
    min_free_pages: Option<usize>,
    cma_first_above: u8,
    guard_below: Order,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { min_free_pages: None, cma_first_above: 50, guard_below: Order::ZERO }
    }
}

impl Tuning {
    /// Pages that the whole machine keeps back at the min watermark (`min_free_kbytes`). Default: from the size of
    /// the machine, 4 MiB for 1 GiB.
    #[must_use]
    pub const fn min_free_pages(self, pages: usize) -> Self {
        Self { min_free_pages: Some(pages), ..self }
    }

    /// Movable requests take CMA pages first while these are more than this percentage of the free pages, and ordinary
    /// pages first otherwise. 0 uses CMA whenever there is some, 100 only when nothing else is left. Default: 50.
    #[must_use]
    pub const fn cma_first_above(self, percent: u8) -> Self {
        Self { cma_first_above: if percent > 100 { 100 } else { percent }, ..self }
    }

    /// Keep leftover halves of an order below this as guards next to each allocation
    /// (`debug_guardpage_minorder`). Costs memory; for debugging. Default: order 0, no guards.
    #[must_use]
    pub const fn guard_below(self, order: Order) -> Self {
        Self { guard_below: order, ..self }
    }
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// An allocator of the map's usable frames, all of them free.
    ///
    /// Once, on the boot CPU. `metadata` must have been made for this map, or for one whose span includes its own. Takes time in proportion to the
    /// holes of the map's span and to the pageblocks, of which it writes a byte each; the records of usable frames are
    /// written when these are first used, a largest block at a time.
    ///
    /// # Errors
    ///
    /// [`InitError::EmptyMap`], and [`InitError::MetadataTooSmall`] if the metadata is for another map.
    pub fn new<const N: usize>(
        platform: P,
        map: &MemoryMap<N>,
        metadata: Metadata<'m, G>,
        tuning: Tuning,
    ) -> Result<Self, InitError> {
        let usable = map.span().ok_or(InitError::EmptyMap)?;
        let Metadata { states, words, blocks, areas, trees, lists, span, .. } = metadata;
        if !span.covers(usable) {
            return Err(InitError::MetadataTooSmall {
                given: size_of_val(states) + size_of_val(words),
                needed: usable.len() * (size_of::<StateCell>() + size_of::<WordCell>()),
            });
        }
        let mem = MemMap {
            frames: FrameTable::new(states, words, span.start()),
            blocks: PageblockMap::new(blocks, areas, trees, span.start()),
            faults: FaultSwitch::new(),
            guards: GuardHook::new(),
        };
        let zone = |kind: ZoneKind| {
            Zone::new(kind, kind.addresses::<G>().intersection(span), tuning.cma_first_above)
        };
        // Not by `map`, whose every layer keeps a copy of these large values on the stack of an unoptimised kernel.
        let zones = [zone(ZoneKind::Dma), zone(ZoneKind::Dma32), zone(ZoneKind::Normal)];
        let allocator = Self {
            platform,
            mem,
            zones,
            lists,
            first_slots: Default::default(),
            min_free_pages: tuning.min_free_pages,
            diagnostics: Diagnostics::default(),
        };
        for block in Pageblock::covering::<G>(span) {
            let state = allocator.mem.blocks.state(block.start());
            allocator.mem.blocks.set_state(block, state);
        }
        // A frame is the inside of a block until something else is said of it: of holes and of what is kept out, here.
        let mut end = span.start();
        for range in map.usable() {
            allocator.mem.frames.fill(PfnRange::new(end, range.start()), FrameState::HOLE);
            end = range.end();
        }
        allocator.mem.frames.fill(PfnRange::new(end, span.end()), FrameState::HOLE);
        for range in map.reserved() {
            allocator.mem.frames.fill(range, FrameState::RESERVED);
        }
        for range in map.usable() {
            for zone in &allocator.zones {
                let part = range.intersection(zone.span());
                allocator.in_zone(zone, |inner| {
                    inner.present += part.len();
                    inner.buddy.add_fresh(&allocator.mem, part);
                });
            }
        }
        for zone in &allocator.zones {
            allocator.in_zone(zone, |inner| inner.buddy.set_guard_below(tuning.guard_below));
        }
        allocator.set_limits();
        Ok(allocator)
    }

    /// Sets marks, reserves and pcplist limits from the managed pages. Not from interrupt handlers.
    pub(crate) fn recalculate(&self) {
        let _shut = self.shut_lists();
        self.set_limits();
    }

    /// The same while no CPU can be at its lists.
    fn set_limits(&self) {
        let managed = [0, 1, 2].map(|zone: usize| self.zones()[zone].published().managed());
        let total = managed.iter().sum();
        self.set_first_zones(|zone| managed[zone.index()] > 0);
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
                    let _locked = lists.lock();
                    lists.set_limits::<G>(zone.kind(), limits);
                });
            }
        }
    }
}
