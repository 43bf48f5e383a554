//! All records of frames and pageblocks (`mem_map` and `pageblock_flags` in Linux).
//!
//! The zones share them. The spans of zones do not overlap, so that a zone's lock protects the
//! records of its own frames and pageblocks.

use crate::base::{FreeKind, Geometry, Pfn, PfnRange, Site};
use crate::instruments::FaultSwitch;
use crate::records::frame_state::FrameState;
use crate::records::frame_table::FrameTable;
use crate::records::guard_hook::GuardHook;
use crate::records::isolated_frames::IsolatedFrames;
use crate::records::page_owner::PageOwners;
use crate::records::pageblock_map::PageblockMap;
use crate::records::poison::Poison;
use crate::records::trace_hook::TraceHook;
use crate::records::unwritten::Unwritten;

/// The records, and the two hooks that code on every floor above needs.
#[derive(Debug)]
pub(crate) struct Descriptors<'m, G> {
    pub(crate) frames: FrameTable<'m>,
    /// The pageblocks whose records, those of their frames too, are still to be written.
    pub(crate) unwritten: Unwritten<'m>,
    pub(crate) pageblocks: PageblockMap<'m, G>,
    /// The frames that isolators hold.
    pub(crate) isolated: IsolatedFrames<'m, G>,
    /// Where the blocks were allocated: nothing without the feature `page_owner`.
    pub(crate) sites: PageOwners<'m>,
    /// The pattern in freed pages: off unless the kernel asks for it.
    pub(crate) poison: Poison,
    /// The kernel's callback for events, with the feature `trace`.
    pub(crate) trace: TraceHook,
    /// The historical mistakes that are on: none without the feature `faults`.
    pub(crate) faults: FaultSwitch,
    /// The kernel's guard page callbacks.
    pub(crate) guards: GuardHook,
}

impl<G: Geometry> Descriptors<'_, G> {
    /// Writes the records of the pageblocks of `range`, where that has not been done yet, before
    /// the state of any frame of them is set. Their zone must be locked.
    pub(crate) fn write_range(&self, range: PfnRange) {
        for part in self.frames.extents().parts(range) {
            self.unwritten.write(part, |number, frames| {
                self.frames.write(frames.clone());
                self.isolated.write(frames);
                self.pageblocks.write(number);
            });
        }
    }

    /// The kind of free list for a free page at `pfn`. It may change unless the zone is locked.
    pub(crate) fn kind(&self, pfn: Pfn) -> FreeKind {
        self.pageblocks.kind(pfn)
    }

    /// As [`FrameTable::head_of`], for a walk of blocks from the last one down. If the frame is the
    /// last of its pageblock, the block of the pageblock's first frame is looked at before: that of
    /// the frame is mostly the same, and its head is found in one step and not in one for each
    /// order.
    pub(crate) fn head_from_above(&self, pfn: Pfn) -> Option<(Pfn, FrameState)> {
        let first = G::PAGEBLOCK_ORDER.align_down(pfn);
        let whole = if pfn.offset_from(first) + 1 == G::PAGEBLOCK_ORDER.pages() {
            self.frames.head_of(first, G::MAX_ORDER)
        } else {
            None
        };
        whole
            .filter(|(head, state)| state.order().block(*head).contains(pfn))
            .or_else(|| self.frames.head_of(pfn, G::MAX_ORDER))
    }

    /// Looks for the poison in the frames of a block that is handed out. Its sites must still be
    /// those of its last owners.
    #[inline]
    pub(crate) fn check_poison(&self, range: PfnRange) {
        self.poison.check(range, |pfn| self.site(pfn));
    }

    /// Sets the site of every block of `range`, which are whole blocks.
    pub(crate) fn set_site_of_range(&self, range: PfnRange, site: Site) {
        let mut pfn = range.start();
        while pfn < range.end() {
            self.sites.set(self.frames.index_of(pfn), site);
            pfn = pfn.up(self.frames.state(pfn).pages());
        }
    }

    /// Where the block with this head was allocated, or the last one that had it as its head.
    pub(crate) fn site(&self, pfn: Pfn) -> Site {
        self.frames.checked_index_of(pfn).map_or(Site::UNKNOWN, |index| self.sites.last(index))
    }
}
