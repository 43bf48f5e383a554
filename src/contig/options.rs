//! How hard a contiguous allocation tries, and how much it may take.

use crate::base::{Depth, ZoneKind};

/// How hard to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContigOptions {
    pub(super) attempts: u32,
    pub(super) depth: Depth,
    /// The highest zone that would do as well. By default the range's own.
    pub(super) highest_zone: Option<ZoneKind>,
    /// See [`one_of_many`](Self::one_of_many).
    pub(super) one_of_many: bool,
    pub(super) owner: u64,
}

impl Default for ContigOptions {
    fn default() -> Self {
        Self { attempts: 5, depth: Depth::Normal, highest_zone: None, one_of_many: false, owner: 0 }
    }
}

impl ContigOptions {
    /// Sets how often the whole range is tried (at least once). Default: 5, as in
    /// `__alloc_contig_migrate_range`.
    #[must_use]
    pub const fn attempts(self, attempts: u32) -> Self {
        Self { attempts: if attempts == 0 { 1 } else { attempts }, ..self }
    }

    /// Sets how far the free pages of a zone may be lowered, by the range itself and by the blocks
    /// that are allocated for the pages that migrate out of it. Default: [`Depth::Normal`], not
    /// below the min watermark. [`Depth::Emergency`] takes the last page.
    ///
    /// It limits the blocks for migrated pages in every use. It does not limit the range itself in
    /// [`CmaArea::alloc`](crate::CmaArea::alloc), because the pages of an area are set aside for
    /// its ranges, nor in [`PageAllocator::offline`](crate::PageAllocator::offline), after which
    /// the watermarks are calculated anew.
    #[must_use]
    pub const fn depth(self, depth: Depth) -> Self {
        Self { depth, ..self }
    }

    /// Sets the owner word of the range, which all of its blocks get. Default: 0.
    ///
    /// [`PageAllocator::set_range_owner`](crate::PageAllocator::set_range_owner) changes it, and
    /// sets that of a range of a CMA area. It has no effect on
    /// [`PageAllocator::offline`](crate::PageAllocator::offline).
    #[must_use]
    pub const fn owner(self, owner: u64) -> Self {
        Self { owner, ..self }
    }

    /// A range in this zone or any below it will do, so that lower zones keep their lowmem reserve
    /// from it.
    pub(super) const fn highest_zone(self, zone: ZoneKind) -> Self {
        Self { highest_zone: Some(zone), ..self }
    }

    /// The range is one of several places that will do: a pinned block ends the try at once, and
    /// blocks are moved from the top down. The next place starts above the block that is in the
    /// way, so that what was moved before that was found is not in the way there any more.
    pub(crate) const fn one_of_many(self) -> Self {
        Self { one_of_many: true, ..self }
    }
}
