//! What is known about each frame and each pageblock (`mem_map` and the pageblock bitmap in Linux).
//!
//! Zones share one map: their spans do not overlap, so that what a zone's lock protects in it is the
//! part below its own frames. Neighbours: [`frame`](crate::frame) and [`pageblock`](crate::pageblock),
//! which it joins; every layer above borrows it.

use crate::faults::FaultSwitch;
use crate::frame::FrameTable;
use crate::geometry::Geometry;
use crate::guard::GuardHook;
use crate::migratetype::FreeKind;
use crate::pageblock::PageblockMap;
use crate::pfn::Pfn;

/// The descriptors of frames and pageblocks.
#[derive(Debug)]
pub(crate) struct MemMap<'m, G> {
    pub(crate) frames: FrameTable<'m>,
    pub(crate) blocks: PageblockMap<'m, G>,
    /// Which historical mistakes are switched on: none, and no code, without the `faults` feature.
    pub(crate) faults: FaultSwitch,
    /// Who is told of guard pages.
    pub(crate) guards: GuardHook,
}

impl<G: Geometry> MemMap<'_, G> {
    /// The list that a free page at `pfn` belongs on now. Hold the zone's lock for as long as the
    /// answer is used.
    pub(crate) fn kind(&self, pfn: Pfn) -> FreeKind {
        self.blocks.kind(pfn)
    }
}
