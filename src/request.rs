//! What a caller asks for.

use crate::frame::state::{FrameState, Migration};
use crate::geometry::Geometry;
use crate::migratetype::Mobility;
use crate::order::Order;
use crate::pfn::{Pfn, PfnRange};

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

    /// The zone whose addresses include the frame, whether or not it is memory.
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

impl core::fmt::Display for ZoneKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Dma => "DMA",
            Self::Dma32 => "DMA32",
            Self::Normal => "Normal",
        })
    }
}

/// How deep below the watermarks a request may dig.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Depth {
    /// Down to the min watermark.
    #[default]
    Normal,
    /// For callers that cannot wait, interrupt handlers for instance: down to three eighths of min, and the
    /// high-atomic reserve (`ALLOC_MIN_RESERVE` with `ALLOC_NON_BLOCK` in Linux).
    Atomic,
    /// For callers whose failure would lose memory or data: down to the last page
    /// (`ALLOC_NO_WATERMARKS`). Lowmem reserves hold no longer either.
    Emergency,
}

/// An allocation request: a block of 2ⁿ frames, with what its owner promises and where it may lie.
///
/// ```
/// use pageblock::{AllocRequest, Depth, Mobility, Order, ZoneKind};
///
/// let page_table = AllocRequest::unmovable();
/// let user_page = AllocRequest::movable().owner(0x1234);
/// let dma_buffer = AllocRequest::unmovable().order(Order::new(4)).highest_zone(ZoneKind::Dma32);
/// let in_interrupt = AllocRequest::new(Order::ZERO, Mobility::Unmovable).depth(Depth::Atomic);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllocRequest {
    pub(crate) order: Order,
    pub(crate) mobility: Mobility,
    pub(crate) highest_zone: ZoneKind,
    pub(crate) depth: Depth,
    pub(crate) owner: u64,
    /// What the block's migration state is when it is handed out.
    pub(crate) migration: Migration,
}

impl AllocRequest {
    /// A block of `order` from any zone, down to the min watermark.
    #[must_use]
    pub const fn new(order: Order, mobility: Mobility) -> Self {
        Self {
            order,
            mobility,
            highest_zone: ZoneKind::Normal,
            depth: Depth::Normal,
            owner: 0,
            migration: Migration::Idle,
        }
    }

    /// One frame that stays where it is.
    #[must_use]
    pub const fn unmovable() -> Self {
        Self::new(Order::ZERO, Mobility::Unmovable)
    }

    /// One frame whose owner answers [`Migrate`](crate::Migrate) for it.
    #[must_use]
    pub const fn movable() -> Self {
        Self::new(Order::ZERO, Mobility::Movable)
    }

    /// One frame of a cache that its owner can drop.
    #[must_use]
    pub const fn reclaimable() -> Self {
        Self::new(Order::ZERO, Mobility::Reclaimable)
    }

    /// A block of this order instead.
    #[must_use]
    pub const fn order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// From this zone or a lower one.
    #[must_use]
    pub const fn highest_zone(self, highest_zone: ZoneKind) -> Self {
        Self { highest_zone, ..self }
    }

    /// How deep below the watermarks the request may dig.
    #[must_use]
    pub const fn depth(self, depth: Depth) -> Self {
        Self { depth, ..self }
    }

    /// A word that the allocator keeps with the block and hands to
    /// [`Migrate`](crate::Migrate): the key of the owner's reverse map. 0 if never set.
    #[must_use]
    pub const fn owner(self, owner: u64) -> Self {
        Self { owner, ..self }
    }

    /// The state of a block that is handed out for this.
    #[inline(always)]
    pub(crate) const fn state(self) -> FrameState {
        FrameState::allocated(self.order, self.mobility).with_migration(self.migration)
    }

    /// Handed out pinned, as the target of a migration: nobody else can move it.
    pub(crate) const fn pinned(self) -> Self {
        Self { migration: Migration::Moving, ..self }
    }
}
