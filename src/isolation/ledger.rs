//! The ledger of an isolator: what it remembers under an accounting design other than the default.
//!
//! Each [`IsolatedRange`](crate::IsolatedRange) has a [`Ledger`] and reports every step of its
//! protocol to it. Under the default design, and without the feature `designs`, each step does only
//! what the caller passes in.

use core::fmt;

use crate::base::{Geometry, Pageblock, PfnRange, Platform};
use crate::instruments::Design;
use crate::page_allocator::PageAllocator;
use crate::records::{Descriptors, Isolation};
use crate::sync::{Ordering, PlainUsize};
use crate::zone::{Zone, ZoneInner};

/// Something is isolated, so that the design cannot be changed. Feature `designs`.
#[cfg_attr(not(feature = "designs"), expect(unreachable_pub, reason = "exported with `designs`"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InUse;

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the accounting design cannot be changed while pages are isolated")
    }
}

impl core::error::Error for InUse {}

/// What one isolator remembers. Written with the zone locked.
#[derive(Debug)]
pub(super) struct Ledger {
    design: Design,
    /// Pages that the isolator itself has subtracted from the free count: X, then X + M, then N. In
    /// two's complement.
    subtracted: PlainUsize,
}

impl Ledger {
    pub(super) fn open<G: Geometry>(inner: &ZoneInner<G>) -> Self {
        Self { design: inner.buddy.counters().design(), subtracted: PlainUsize::new(0) }
    }

    fn subtracted(&self) -> isize {
        self.subtracted.load(Ordering::Relaxed).cast_signed()
    }

    /// Changes the total that is subtracted to `pages`.
    fn subtract_in_all<G: Geometry>(&self, inner: &mut ZoneInner<G>, pages: isize) {
        inner.buddy.correct_free(self.subtracted() - pages);
        self.subtracted.store(pages.cast_unsigned(), Ordering::Relaxed);
    }

    /// Isolates a pageblock: `move_pages` switches it and moves its free pages.
    #[inline(always)]
    pub(super) fn isolating<G: Geometry>(
        &self,
        inner: &mut ZoneInner<G>,
        desc: &Descriptors<'_, G>,
        block: Pageblock,
        move_pages: impl FnOnce(&mut ZoneInner<G>),
    ) {
        if self.design.parks() {
            let state = desc.pageblocks.state(block.start());
            desc.pageblocks.set_state(block, state.with_isolation(Isolation::Isolating));
            return;
        }
        let before = inner.buddy.counters().isolated();
        move_pages(inner);
        if self.design.counts_isolated() {
            let moved = inner.buddy.counters().isolated().wrapping_sub(before).cast_signed();
            self.subtract_in_all(inner, self.subtracted() + moved);
        }
    }

    /// All pageblocks are switched. If only to `Isolating`: drains, and moves what is free and what
    /// is parked.
    #[inline(always)]
    pub(super) fn finish<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        zone: &Zone<G>,
        range: PfnRange,
    ) {
        if !self.design.parks() {
            return;
        }
        // A page that was freed before its pageblock was switched may be on a pcplist: the drain
        // parks it. Of several isolators of a pageblock the first to get here moves its pages; each
        // has drained before.
        allocator.drain_zone(zone);
        for block in Pageblock::covering::<G>(range) {
            allocator.in_zone(zone, |inner| {
                let state = allocator.desc().pageblocks.state(block.start());
                if state.isolation == Isolation::Isolating {
                    inner.buddy.retype(allocator.desc(), block, state.with_isolation(Isolation::Isolated));
                    inner.buddy.unpark(allocator.desc(), block);
                }
            });
        }
    }

    /// `pages` pages of the range were freed by migration.
    #[inline(always)]
    pub(crate) fn migrated<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        zone: &Zone<G>,
        pages: usize,
    ) {
        if self.design.counts_isolated() && self.design == Design::RememberedXAndM {
            allocator.in_zone(zone, |inner| {
                self.subtract_in_all(inner, self.subtracted() + pages.cast_signed());
            });
        }
    }

    /// All `pages` pages of the range are isolated and free.
    #[inline(always)]
    pub(super) fn tested<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        zone: &Zone<G>,
        pages: usize,
    ) {
        if self.design.counts_isolated() {
            allocator.in_zone(zone, |inner| self.subtract_in_all(inner, pages.cast_signed()));
        }
    }

    /// `pages` pages were taken off the isolated lists, and off the free count with them. They had
    /// been subtracted already.
    #[inline(always)]
    pub(super) fn taken<G: Geometry>(&self, inner: &mut ZoneInner<G>, pages: usize) {
        if self.design.counts_isolated() {
            self.subtract_in_all(inner, self.subtracted() - pages.cast_signed());
        }
    }

    /// Undoes the isolation of a pageblock: `move_pages` switches it and moves its free pages. Adds
    /// what was moved again, as far as it was subtracted.
    #[inline(always)]
    pub(super) fn undoing<G: Geometry>(
        &self,
        inner: &mut ZoneInner<G>,
        desc: &Descriptors<'_, G>,
        block: Pageblock,
        move_pages: impl FnOnce(&mut ZoneInner<G>),
    ) {
        let before = inner.buddy.counters().isolated();
        move_pages(inner);
        if self.design.counts_isolated() {
            let moved = before.saturating_sub(inner.buddy.counters().isolated()).cast_signed();
            self.subtract_in_all(inner, self.subtracted() - moved.min(self.subtracted()));
        }
        if cfg!(feature = "designs") {
            inner.buddy.unpark(desc, block);
        }
    }

    /// The undo has ended: adds what is still subtracted.
    #[inline(always)]
    pub(super) fn close<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        zone: &Zone<G>,
    ) {
        if self.design.counts_isolated() && self.subtracted() != 0 {
            allocator.in_zone(zone, |inner| self.subtract_in_all(inner, 0));
        }
    }
}

/// Accounts for isolated pages by `design` from now on, if nothing is isolated.
#[cfg_attr(not(feature = "designs"), expect(dead_code, reason = "called with the feature `designs`"))]
pub(crate) fn set_design<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    design: Design,
) -> Result<(), InUse> {
    let is_idle = |zone: &Zone<G>| {
        allocator.in_zone(zone, |inner| {
            allocator.desc().isolated.first_in(zone.span()).is_none()
                && inner.buddy.counters().isolated() == 0
        })
    };
    if !allocator.zones().iter().all(is_idle) {
        return Err(InUse);
    }
    for zone in allocator.zones() {
        allocator.in_zone(zone, |inner| inner.buddy.set_design(design));
    }
    Ok(())
}
