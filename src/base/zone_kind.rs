//! The zones DMA, DMA32 and Normal.

use core::fmt;

use crate::base::geometry::Geometry;
use crate::base::pfn::{Pfn, PfnRange};

/// A zone: a range of physical addresses that a class of devices can reach.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ZoneKind {
    /// Below 16 MiB: ISA devices. The limits are those of [`X86_64`](crate::X86_64).
    Dma = 0,
    /// From there to 4 GiB: devices with 32 address bits.
    Dma32 = 1,
    /// All memory above.
    Normal = 2,
}

impl ZoneKind {
    /// The number of zones.
    pub const COUNT: usize = 3;
    /// All zones, lowest first.
    pub const ALL: [Self; Self::COUNT] = [Self::Dma, Self::Dma32, Self::Normal];

    #[inline(always)]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The zone whose address range includes the frame, which may be a hole.
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
