//! The site of each block: where in the source it was allocated. A word for each frame, with the
//! feature `page_owner`.
//!
//! ```text
//! 0                      never allocated since boot
//! address of a Location  head of an allocated block, or of one on a pcplist
//! the same, plus 1       a frame that was the head of a block which was freed to its zone
//! ```
//!
//! The record of the head of a block is written when the block is allocated, and marked as old when
//! it is freed to the zone. On a pcplist it stays as it is: so the fast path of an allocation has
//! one store more, and that of a free nothing. An old record still says who used the frame last.

#![expect(unsafe_code, reason = "an index of the main extent is in bounds, a stored address is a Location")]

use core::panic::Location;

use crate::base::Site;
use crate::records::extents::Extents;
use crate::records::frame_index::FrameIndex;
use crate::records::site_cell::SiteCell;

/// The mark of an old record: a bit that is clear in every address of a `Location`.
const OLD: usize = 1;
const _: () = assert!(align_of::<Location<'static>>() > OLD);

/// The sites of all frames that have records, by index. Those of frames whose records were added
/// after boot are in the [chunks](crate::records::Chunk) of these.
#[derive(Debug)]
pub(crate) struct PageOwners<'m> {
    cells: &'m [SiteCell],
    extents: Extents<'m>,
}

impl<'m> PageOwners<'m> {
    /// There must be a cell for each frame of the extents, and all must be zero.
    pub(crate) fn new(cells: &'m [SiteCell], extents: Extents<'m>) -> Self {
        assert!(cells.len() == extents.boot_len());
        Self { cells, extents }
    }

    fn cell(&self, index: FrameIndex) -> Option<&'m SiteCell> {
        match self.cells.get(index.number() as usize) {
            None => self.extents.chunk_of(index)?.site(index),
            found => found,
        }
    }

    /// As [`set`](Self::set), for a frame of boot.
    ///
    /// # Safety
    ///
    /// `head` must be the index of a frame of boot.
    #[inline(always)]
    pub(crate) unsafe fn set_boot(&self, head: FrameIndex, site: Site) {
        debug_assert!((head.number() as usize) < self.cells.len());
        // SAFETY: `new` checked that there is a cell for each frame of the extents of boot.
        let cell = unsafe { self.cells.get_unchecked(head.number() as usize) };
        cell.store(address(site));
    }

    /// Stores where the block with this head was allocated.
    pub(crate) fn set(&self, head: FrameIndex, site: Site) {
        if let Some(cell) = self.cell(head) {
            cell.store(address(site));
        }
    }

    /// Marks the record of a block that is freed to its zone as old.
    pub(crate) fn mark_old(&self, head: FrameIndex) {
        if let Some(cell) = self.cell(head)
            && !cell.load().is_null()
        {
            cell.store(cell.load().map_addr(|address| address | OLD));
        }
    }

    /// Where the block that the frame is the head of was allocated; if it is free or no head, where
    /// the last block was that it was the head of.
    pub(crate) fn last(&self, index: FrameIndex) -> Site {
        let address = self.cell(index).map_or(core::ptr::null_mut(), SiteCell::load);
        // SAFETY: without the mark it is null or comes from a `&'static Location`.
        Site::new(unsafe { address.map_addr(|address| address & !OLD).as_ref() })
    }

    /// Whether the frame has the record of a block that is allocated or on a pcplist.
    pub(crate) fn is_current(&self, index: FrameIndex) -> bool {
        self.cell(index).is_some_and(|cell| {
            let address = cell.load();
            !address.is_null() && address.addr() & OLD == 0
        })
    }
}

#[inline(always)]
fn address(site: Site) -> *mut Location<'static> {
    site.location().map_or(core::ptr::null_mut(), |location| core::ptr::from_ref(location).cast_mut())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::PageOwners;
    use crate::base::{Pfn, PfnRange, Site};
    use crate::records::extents::Extents;
    use crate::records::frame_index::FrameIndex;
    use crate::records::site_cell::SiteCell;

    #[test]
    fn an_old_record_still_has_its_site() {
        let cells = [SiteCell::new(), SiteCell::new()];
        let frames = PfnRange::with_len(Pfn::new(0), cells.len());
        let owners = PageOwners::new(&cells, Extents::new(frames, &[], None));
        let (head, other) = (FrameIndex::new(0), FrameIndex::new(1));
        let site = Site::caller();
        assert!(!owners.is_current(head) && owners.last(head) == Site::UNKNOWN);
        owners.mark_old(head);
        assert_eq!(owners.last(head), Site::UNKNOWN, "nothing to mark");
        owners.set(head, site);
        assert!(owners.is_current(head) && owners.last(head) == site && !owners.is_current(other));
        owners.mark_old(head);
        owners.mark_old(head);
        assert!(!owners.is_current(head) && owners.last(head) == site);
        owners.set(FrameIndex::new(2), site);
        assert_eq!(owners.last(FrameIndex::new(2)), Site::UNKNOWN, "out of bounds");
    }
}
