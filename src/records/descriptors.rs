//! All records of frames and pageblocks (`mem_map` and `pageblock_flags` in Linux).
//!
//! The zones share them. The spans of zones do not overlap, so that a zone's lock protects the
//! records of its own frames and pageblocks.

use crate::base::{FreeKind, Geometry, Pfn};
use crate::instruments::FaultSwitch;
use crate::records::frame_table::FrameTable;
use crate::records::guard_hook::GuardHook;
use crate::records::isolated_frames::IsolatedFrames;
use crate::records::pageblock_map::PageblockMap;

/// The records, and the two hooks that code on every floor above needs.
#[derive(Debug)]
pub(crate) struct Descriptors<'m, G> {
    pub(crate) frames: FrameTable<'m>,
    pub(crate) pageblocks: PageblockMap<'m, G>,
    /// The frames that isolators hold.
    pub(crate) isolated: IsolatedFrames<'m, G>,
    /// The historical mistakes that are on: none without the feature `faults`.
    pub(crate) faults: FaultSwitch,
    /// The kernel's guard page callbacks.
    pub(crate) guards: GuardHook,
}

impl<G: Geometry> Descriptors<'_, G> {
    /// The kind of free list for a free page at `pfn`. It may change unless the zone is locked.
    pub(crate) fn kind(&self, pfn: Pfn) -> FreeKind {
        self.pageblocks.kind(pfn)
    }
}
