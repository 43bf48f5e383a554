//! The facade: what a kernel holds, and all it calls.
//!
//! A [`PageAllocator`] has no hidden statics: its records are the [`Metadata`](crate::Metadata) that it
//! was given, and the one `static` is the kernel's. Files: this one (structure, ways to a zone), [`init`] (from
//! a memory map), [`at_offset`] (the same, with everything a simple kernel needs), [`raw`] (allocate and free), [`late`]
//! (memory that changes hands later). Isolation, contiguous ranges, audits and statistics add
//! their methods in files of their own.

#![expect(unsafe_code, reason = "one small number that only this file writes is known to be in range")]

mod at_offset;
mod init;
mod late;
mod raw;

use crate::diagnostics::Diagnostics;
use crate::error::{FreeError, RangeError};
use crate::frame::state::FrameKind;
use crate::geometry::{Geometry, X86_64};
use crate::guard::GuardPages;
use crate::mem_map::MemMap;
use crate::migratetype::Mobility;
use crate::pcp::{CpuLists, ListSlot};
use crate::pfn::{Pfn, PfnRange};
use crate::platform::Platform;
use crate::request::ZoneKind;
use crate::sync::{Ordering, PlainU32};
use crate::zone::{Zone, ZoneInner};

pub use init::Tuning;
pub use late::HandOverError;

/// A zoned buddy allocator of page frames.
///
/// Every method takes `&self`; it is `Sync` if its platform is. Put it in a `static` with `spin::Once` or the like.
#[derive(Debug)]
pub struct PageAllocator<'m, P: Platform, G: Geometry = X86_64> {
    platform: P,
    mem: MemMap<'m, G>,
    zones: [Zone<G>; ZoneKind::COUNT],
    /// By CPU.
    lists: &'m [CpuLists<'m>],
    /// By the highest zone that a request may use, the lists of the first zone to look in: the highest that has memory.
    first_slots: [PlainU32; ZoneKind::COUNT],
    min_free_pages: Option<usize>,
    diagnostics: Diagnostics,
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// The platform given at construction.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    pub(crate) fn mem(&self) -> &MemMap<'m, G> {
        &self.mem
    }

    pub(crate) fn zones(&self) -> &[Zone<G>; ZoneKind::COUNT] {
        &self.zones
    }

    /// From the lowest frame with a descriptor to the highest, holes included.
    #[must_use]
    pub fn span(&self) -> PfnRange {
        self.mem.frames.span()
    }

    /// Tells the log of a free that was refused, where nobody can be given the error.
    pub(crate) fn refused_free(&self, pfn: Pfn, result: Result<(), FreeError>) {
        if let Err(error) = result
            && let Some(number) = self.diagnostics.refused_frees.count()
        {
            log::error!("{pfn} was not freed: {error} (refused so far: {number})");
        }
    }

    /// Runs `f` with a zone locked.
    pub(crate) fn in_zone<R>(&self, zone: &Zone<G>, f: impl FnOnce(&mut ZoneInner<G>) -> R) -> R {
        self.platform.without_interrupts(|| zone.locked(f))
    }

    /// The zone whose addresses include the frame, whether or not it is memory.
    #[inline]
    pub(crate) fn zone_of(&self, pfn: Pfn) -> &Zone<G> {
        &self.zones[ZoneKind::of::<G>(pfn).index()]
    }

    /// The zone that holds every frame of `range`, whatever the frames are.
    pub(crate) fn zone_of_span(&self, range: PfnRange) -> Result<&Zone<G>, RangeError> {
        if range.is_empty() {
            return Err(RangeError::Empty { range });
        }
        if !self.span().covers(range) {
            let inside = self.span().intersection(range);
            let pfn = if inside.is_empty() || inside.start() > range.start() {
                range.start()
            } else {
                inside.end()
            };
            return Err(RangeError::Foreign { pfn });
        }
        let zone = self.zone_of(range.start());
        if zone.span().covers(range) {
            Ok(zone)
        } else {
            Err(RangeError::CrossesZones { range, border: zone.span().end() })
        }
    }

    /// The zone that holds every frame of `range`, none of which is a hole or kept out.
    pub(crate) fn zone_of_range(&self, range: PfnRange) -> Result<&Zone<G>, RangeError> {
        let zone = self.zone_of_span(range)?;
        let mut pfn = range.start();
        while pfn < range.end() {
            let state = self.mem.frames.state(pfn);
            let kind = state.kind();
            if matches!(kind, FrameKind::Hole | FrameKind::Reserved) {
                return Err(RangeError::NotManaged { pfn, kind });
            }
            // What is a block at any moment is memory throughout, and stays memory.
            pfn = pfn.up(if kind.is_head() { state.order().pages() } else { 1 });
        }
        Ok(zone)
    }

    /// The pcplists, by CPU.
    #[inline(always)]
    pub(crate) fn lists(&self) -> &'m [CpuLists<'m>] {
        self.lists
    }

    /// The list that a request which may use `highest` and lower zones looks in first.
    #[inline(always)]
    pub(crate) fn first_slot(&self, highest: ZoneKind, mobility: Mobility) -> ListSlot {
        let bits = self.first_slots[highest.index()].load(Ordering::Relaxed);
        // SAFETY: only `set_first_zones` writes them: slots for unmovable pages.
        unsafe { ListSlot::from_bits(bits).unwrap_unchecked() }.with(mobility)
    }

    /// Says which zones have memory.
    pub(crate) fn set_first_zones(&self, has_memory: impl Fn(ZoneKind) -> bool) {
        let mut first = ZoneKind::Dma;
        for (zone, slot) in ZoneKind::ALL.into_iter().zip(&self.first_slots) {
            first = if has_memory(zone) { zone } else { first };
            slot.store(ListSlot::new(first, Mobility::Unmovable).bits(), Ordering::Relaxed);
        }
    }

    /// Who is told of guard pages from now on ([`Tuning::guard_below`] says whether there are any). Any context.
    pub fn set_guard_pages(&self, guards: &'static (dyn GuardPages + Sync)) {
        self.platform.without_interrupts(|| self.mem.guards.set(guards));
    }

    /// Free pages of the machine, as they stood after the last change: the sum over the zones, each of which is exact.
    ///
    /// Pages on pcplists, isolated pages and guard pages are not free pages. Takes no lock; any context.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.zones.iter().map(|zone| zone.published().free()).sum()
    }

    /// Free pages that only movable requests may use. As [`free_count`](Self::free_count).
    #[must_use]
    pub fn free_cma_count(&self) -> usize {
        self.zones.iter().map(|zone| zone.published().free_cma()).sum()
    }

    /// Pages on isolated lists. As [`free_count`](Self::free_count).
    #[must_use]
    pub fn isolated_count(&self) -> usize {
        self.zones.iter().map(|zone| zone.published().isolated()).sum()
    }

    /// Pages that the allocator manages: all but holes, reserved and offline ones. As
    /// [`free_count`](Self::free_count).
    #[must_use]
    pub fn managed_count(&self) -> usize {
        self.zones.iter().map(|zone| zone.published().managed()).sum()
    }

    /// Switches on exactly these historical mistakes. For tests: a machine with a fault on counts wrong.
    #[cfg(feature = "faults")]
    pub fn set_faults(&self, faults: crate::faults::Faults) {
        self.mem.faults.set(faults);
    }

    /// What runs at yield points: the other CPU of a deterministic test, or a delay that stretches a race's window. It may call
    /// this allocator.
    #[cfg(feature = "faults")]
    pub fn set_yield_hook(&self, hook: Option<crate::faults::YieldHook>) {
        self.mem.faults.set_hook(hook);
    }
}
