//! The records of all frames and pageblocks (`mem_map` and the pageblock bitmap in Linux).
//!
//! All zones share them: the spans of zones do not overlap, so that a zone's lock protects the part
//! that describes its own frames.

use crate::base::{FreeKind, Geometry, Pfn};
use crate::instruments::FaultSwitch;
use crate::records::frame_table::FrameTable;
use crate::records::guard_hook::GuardHook;
use crate::records::pageblock_map::PageblockMap;

/// The descriptors of frames and pageblocks.
#[derive(Debug)]
pub(crate) struct Descriptors<'m, G> {
    pub(crate) frames: FrameTable<'m>,
    pub(crate) pageblocks: PageblockMap<'m, G>,
    /// Which historical mistakes are switched on: none without the feature `faults`.
    pub(crate) faults: FaultSwitch,
    /// Who is told of guard pages.
    pub(crate) guards: GuardHook,
}

impl<G: Geometry> Descriptors<'_, G> {
    /// The list that a free page at `pfn` belongs on now. Hold the zone's lock for as long as the
    /// answer is used.
    pub(crate) fn kind(&self, pfn: Pfn) -> FreeKind {
        self.pageblocks.kind(pfn)
    }
}
