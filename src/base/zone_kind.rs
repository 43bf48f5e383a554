//! The three zones, which divide physical memory by the addresses that devices can reach.

use core::fmt;

use crate::base::geometry::Geometry;
use crate::base::pfn::{Pfn, PfnRange};

/// The zones, by the addresses that a device can reach.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ZoneKind {
    /// Below 16 MiB: ISA devices.
    Dma = 0,
    /// Below 4 GiB: devices with 32 address bits.
    Dma32 = 1,
    /// Everything above.
    Normal = 2,
}

impl ZoneKind {
    /// How many zones there are.
    pub const COUNT: usize = 3;
    /// The zones, lowest first.
    pub const ALL: [Self; Self::COUNT] = [Self::Dma, Self::Dma32, Self::Normal];

    #[inline(always)]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The zone whose addresses include the frame, whether or not the frame is memory.
    #[inline]
    pub(crate) const fn of<G: Geometry>(pfn: Pfn) -> Self {
        if pfn.number() < G::DMA_END.number() {
            Self::Dma
        } else if pfn.number() < G::DMA32_END.number() {
            Self::Dma32
        } else {
            Self::Normal
        }
    }

    /// The frames whose addresses the zone includes.
    pub(crate) const fn addresses<G: Geometry>(self) -> PfnRange {
        match self {
            Self::Dma => PfnRange::new(Pfn::new(0), G::DMA_END),
            Self::Dma32 => PfnRange::new(G::DMA_END, G::DMA32_END),
            Self::Normal => PfnRange::new(G::DMA32_END, Pfn::new(usize::MAX)),
        }
    }
}

impl fmt::Display for ZoneKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dma => "DMA",
            Self::Dma32 => "DMA32",
            Self::Normal => "Normal",
        })
    }
}
