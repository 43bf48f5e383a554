//! What an isolator does under another accounting design. Compiled with the `designs` feature only.
//!
//! Each [`IsolatedRange`](crate::IsolatedRange) has a [`Ledger`] and tells it of every step of its protocol. Under the default
//! design a step is what it is without the feature. Neighbours: [`isolate`](crate::isolate), which calls this;
//! `buddy::designs`, which it calls.

use core::fmt;

use super::Design;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::page_allocator::PageAllocator;
use crate::pageblock::{Isolation, Pageblock};
use crate::pfn::{Pfn, PfnRange};
use crate::platform::Platform;
use crate::sync::{Ordering, PlainUsize};
use crate::zone::{Zone, ZoneInner};

/// Something is isolated: the design cannot be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InUse;

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the accounting design cannot be changed while pages are isolated")
    }
}

impl core::error::Error for InUse {}

/// Whether pages freed at `pfn` are parked now. Exact with the zone locked; with a pcplist locked it is as final as the
/// isolated bit is (see [`pcp`](crate::pcp)).
pub(crate) fn parks<G: Geometry>(mem: &MemMap<'_, G>, pfn: Pfn) -> bool {
    mem.blocks.state(pfn).isolation == Isolation::Isolating
}

/// What one isolator remembers. Written with the zone locked.
#[derive(Debug)]
pub(crate) struct Ledger {
    design: Design,
    /// Pages that the isolator has taken off the free count itself: X, then X + M, then N. Two's complement.
    subtracted: PlainUsize,
}

impl Ledger {
    pub(crate) fn open<G: Geometry>(inner: &ZoneInner<G>) -> Self {
        Self { design: inner.buddy.counters().rule, subtracted: PlainUsize::new(0) }
    }

    fn subtracted(&self) -> isize {
        self.subtracted.load(Ordering::Relaxed).cast_signed()
    }

    /// Brings what is subtracted to `pages`.
    fn subtract_in_all<G: Geometry>(&self, inner: &mut ZoneInner<G>, pages: isize) {
        inner.buddy.correct_free(self.subtracted() - pages);
        self.subtracted.store(pages.cast_unsigned(), Ordering::Relaxed);
    }

    /// ISOLATE: `move_pages` switches the block and moves its free pages.
    pub(crate) fn isolating<G: Geometry>(
        &self,
        inner: &mut ZoneInner<G>,
        mem: &MemMap<'_, G>,
        block: Pageblock,
        move_pages: impl FnOnce(&mut ZoneInner<G>),
    ) {
        if self.design == Design::Parked {
            let state = mem.blocks.state(block.start());
            mem.blocks.set_state(block, state.with_isolation(Isolation::Isolating));
            return;
        }
        let before = inner.buddy.counters().isolated;
        move_pages(inner);
        if self.design.counts_isolated() {
            let moved = inner.buddy.counters().isolated.wrapping_sub(before).cast_signed();
            self.subtract_in_all(inner, self.subtracted() + moved);
        }
    }

    /// All blocks are switched. If that was only to `Isolating`: drains, and moves what is free and what is parked.
    pub(crate) fn finish<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        zone: &Zone<G>,
        range: PfnRange,
    ) {
        if self.design != Design::Parked {
            return;
        }
        // A page that was freed before its block was switched may be on a pcplist: it is parked by this.
        // In each pageblock all is done by whichever isolator of it comes first; every one has drained before.
        allocator.drain_zone(zone);
        for block in Pageblock::covering::<G>(range) {
            allocator.in_zone(zone, |inner| {
                let state = allocator.mem().blocks.state(block.start());
                if state.isolation == Isolation::Isolating {
                    inner.buddy.retype(allocator.mem(), block, state.with_isolation(Isolation::Isolated));
                    inner.buddy.unpark(allocator.mem(), block);
                }
            });
        }
    }

    /// MIGRATE: so many pages of the range were freed by moving their contents away.
    pub(crate) fn migrated<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        zone: &Zone<G>,
        pages: usize,
    ) {
        if self.design == Design::RememberedXAndM {
            allocator.in_zone(zone, |inner| {
                self.subtract_in_all(inner, self.subtracted() + pages.cast_signed());
            });
        }
    }

    /// TEST: all `pages` pages of the range are isolated and free.
    pub(crate) fn tested<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        zone: &Zone<G>,
        pages: usize,
    ) {
        if self.design.counts_isolated() {
            allocator.in_zone(zone, |inner| self.subtract_in_all(inner, pages.cast_signed()));
        }
    }

    /// So many pages have left the isolated lists for good, and the free count with them: they were subtracted before.
    pub(crate) fn taken<G: Geometry>(&self, inner: &mut ZoneInner<G>, pages: usize) {
        if self.design.counts_isolated() {
            self.subtract_in_all(inner, self.subtracted() - pages.cast_signed());
        }
    }

    /// UNDO of one block: `move_pages` switches it and moves its free pages. As much of what is remembered as was moved is added.
    pub(crate) fn undoing<G: Geometry>(
        &self,
        inner: &mut ZoneInner<G>,
        mem: &MemMap<'_, G>,
        block: Pageblock,
        move_pages: impl FnOnce(&mut ZoneInner<G>),
    ) {
        let before = inner.buddy.counters().isolated;
        move_pages(inner);
        if self.design.counts_isolated() {
            let moved = before.saturating_sub(inner.buddy.counters().isolated).cast_signed();
            self.subtract_in_all(inner, self.subtracted() - moved.min(self.subtracted()));
        }
        inner.buddy.unpark(mem, block);
    }

    /// UNDO, at its end: what is still remembered is added.
    pub(crate) fn close<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        zone: &Zone<G>,
    ) {
        if self.subtracted() != 0 {
            allocator.in_zone(zone, |inner| self.subtract_in_all(inner, 0));
        }
    }
}

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// Accounts for isolated pages by `design` from now on. Experimental: under the others than the default, counts can be
    /// wrong while something is isolated, and isolated ranges should be aligned blocks of the largest order.
    ///
    /// Call it while nobody begins an isolation.
    ///
    /// # Errors
    ///
    /// [`InUse`] if something is isolated. Nothing has changed then.
    pub fn set_design(&self, design: Design) -> Result<(), InUse> {
        let mut idle = self.zones().iter().map(|zone| {
            self.in_zone(zone, |inner| {
                !inner.isolations.touches(zone.span()) && inner.buddy.counters().isolated == 0
            })
        });
        if !idle.all(|idle| idle) {
            return Err(InUse);
        }
        for zone in self.zones() {
            self.in_zone(zone, |inner| inner.buddy.set_rule(design));
        }
        Ok(())
    }
}
