//! The ledger of an isolator: what it records under an accounting design other than the default.
//!
//! Each [`IsolatedRange`](crate::IsolatedRange) has a [`Ledger`], and calls it at each step of its
//! protocol. Under the default design each step only runs what the caller passes in.
//! [`design`](crate::instruments::design) describes the designs and their X, M and N.

use core::fmt;

use crate::base::{Geometry, Pageblock, PfnRange, Platform};
use crate::instruments::Design;
use crate::page_allocator::PageAllocator;
use crate::records::{Descriptors, Isolation};
use crate::sync::{Ordering, PlainUsize};
use crate::zone::{Zone, ZoneInner};

/// The design was not changed, because a page is isolated. Feature `designs`.
#[cfg_attr(not(feature = "designs"), expect(unreachable_pub, reason = "exported with `designs`"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InUse;

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the accounting design cannot be changed while pages are isolated")
    }
}

impl core::error::Error for InUse {}

/// The record of one isolator. Written with the zone locked.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    design: Design,
    /// The pages subtracted from the free count: X, then X + M, then N. In two's complement.
    subtracted: PlainUsize,
}

impl Ledger {
    pub(super) fn open<G: Geometry>(inner: &ZoneInner<G>) -> Self {
        Self { design: inner.buddy.counters().design(), subtracted: PlainUsize::new(0) }
    }

    fn subtracted(&self) -> isize {
        self.subtracted.load(Ordering::Relaxed).cast_signed()
    }

    /// Changes the number of subtracted pages to `pages`.
    fn subtract_in_all<G: Geometry>(&self, inner: &mut ZoneInner<G>, pages: isize) {
        inner.buddy.correct_free(self.subtracted() - pages);
        self.subtracted.store(pages.cast_unsigned(), Ordering::Relaxed);
    }

    /// Isolates a pageblock: `move_pages` sets its flag and moves its free pages.
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

    /// Called when the flags of all pageblocks are set. If that is only `Isolating`, drains, and
    /// moves the free and the parked pages.
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
        // The drain parks the pages that were cached before. Of several isolators of a pageblock,
        // each of which has drained, the first to get here moves its pages.
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

    /// Called when migration has freed `pages` pages of the range.
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

    /// Called when all `pages` pages of the range are free and isolated.
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

    /// Called when `pages` pages were taken: the free count no longer includes them.
    #[inline(always)]
    pub(super) fn taken<G: Geometry>(&self, inner: &mut ZoneInner<G>, pages: usize) {
        if self.design.counts_isolated() {
            self.subtract_in_all(inner, self.subtracted() - pages.cast_signed());
        }
    }

    /// Undoes the isolation of a pageblock: `move_pages` clears its flag and moves its free pages.
    /// Adds these again, as far as they were subtracted.
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

    /// Called at the end of the undo: adds the pages that are still subtracted.
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

#[cfg_attr(not(feature = "designs"), expect(dead_code, reason = "called with the feature `designs`"))]
pub(crate) fn set_design<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    design: Design,
) -> Result<(), InUse> {
    let is_idle = |zone: &Zone<G>| {
        allocator.in_zone(zone, |inner| {
            allocator.desc().isolated.first_in(zone.addresses()).is_none()
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
