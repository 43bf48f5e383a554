//! Nothing: other accounting designs are compiled out. Each step of an isolation is what [`isolate`](crate::isolate) does.

use crate::buddy::FreeBlock;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::page_allocator::PageAllocator;
use crate::pageblock::Pageblock;
use crate::pfn::{Pfn, PfnRange};
use crate::platform::Platform;
use crate::zone::{Zone, ZoneInner};

/// The one rule that there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rule;

impl Rule {
    #[inline(always)]
    pub(crate) const fn counts_isolated(self) -> bool {
        false
    }
}

#[inline(always)]
pub(crate) const fn parks<G: Geometry>(_: &MemMap<'_, G>, _: Pfn) -> bool {
    false
}

/// No place to park.
#[derive(Debug)]
pub(crate) struct Parking;

impl Parking {
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline(always)]
    #[expect(clippy::unused_self, reason = "as with the feature on")]
    pub(crate) fn admit<G: Geometry>(&mut self, _: &MemMap<'_, G>, block: FreeBlock) -> Option<FreeBlock> {
        Some(block)
    }

    #[inline(always)]
    #[expect(clippy::unused_self, reason = "as with the feature on")]
    pub(crate) fn is_damaged<G: Geometry>(&self, _: &MemMap<'_, G>) -> bool {
        false
    }
}

/// Nothing to remember.
#[derive(Debug)]
pub(crate) struct Ledger;

#[expect(clippy::unused_self, reason = "as with the feature on")]
impl Ledger {
    #[inline(always)]
    pub(crate) fn open<G: Geometry>(_: &ZoneInner<G>) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn isolating<G: Geometry>(
        &self,
        inner: &mut ZoneInner<G>,
        _: &MemMap<'_, G>,
        _: Pageblock,
        move_pages: impl FnOnce(&mut ZoneInner<G>),
    ) {
        move_pages(inner);
    }

    #[inline(always)]
    pub(crate) fn finish<P: Platform, G: Geometry>(
        &self,
        _: &PageAllocator<'_, P, G>,
        _: &Zone<G>,
        _: PfnRange,
    ) {
    }

    #[inline(always)]
    pub(crate) fn migrated<P: Platform, G: Geometry>(
        &self,
        _: &PageAllocator<'_, P, G>,
        _: &Zone<G>,
        _: usize,
    ) {
    }

    #[inline(always)]
    pub(crate) fn tested<P: Platform, G: Geometry>(
        &self,
        _: &PageAllocator<'_, P, G>,
        _: &Zone<G>,
        _: usize,
    ) {
    }

    #[inline(always)]
    pub(crate) fn taken<G: Geometry>(&self, _: &mut ZoneInner<G>, _: usize) {}

    #[inline(always)]
    pub(crate) fn undoing<G: Geometry>(
        &self,
        inner: &mut ZoneInner<G>,
        _: &MemMap<'_, G>,
        _: Pageblock,
        move_pages: impl FnOnce(&mut ZoneInner<G>),
    ) {
        move_pages(inner);
    }

    #[inline(always)]
    pub(crate) fn close<P: Platform, G: Geometry>(&self, _: &PageAllocator<'_, P, G>, _: &Zone<G>) {}
}
