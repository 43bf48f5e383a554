//! Allocation requests: order, mobility, zone limit, watermark depth and owner word.

use crate::base::migratetype::Mobility;
use crate::base::order::Order;
use crate::base::zone_kind::ZoneKind;

/// How far below the watermarks a request may take a zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Depth {
    /// Down to the min watermark.
    #[default]
    Normal,
    /// For callers that cannot wait, interrupt handlers for instance: down to three eighths of min,
    /// and the high-atomic reserve (`ALLOC_MIN_RESERVE` with `ALLOC_NON_BLOCK` in Linux).
    Atomic,
    /// For callers whose failure would lose memory or data: down to the last page
    /// (`ALLOC_NO_WATERMARKS`). Lowmem reserves are ignored too.
    Emergency,
}

/// An allocation request: a block of 2ⁿ frames, its mobility, and the zones it may come from.
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
    /// The block is handed out pinned: see [`pinned`](Self::pinned).
    pub(crate) pinned: bool,
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
            pinned: false,
        }
    }

    /// One frame that cannot be migrated.
    #[must_use]
    pub const fn unmovable() -> Self {
        Self::new(Order::ZERO, Mobility::Unmovable)
    }

    /// One frame that its owner can migrate when [`Migrate`](crate::Migrate) asks it to.
    #[must_use]
    pub const fn movable() -> Self {
        Self::new(Order::ZERO, Mobility::Movable)
    }

    /// One frame of a cache whose contents its owner can drop.
    #[must_use]
    pub const fn reclaimable() -> Self {
        Self::new(Order::ZERO, Mobility::Reclaimable)
    }

    /// Sets the order of the block. Default: the order given to the constructor.
    #[must_use]
    pub const fn order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// Limits the request to this zone and the ones below it. Default: any zone.
    #[must_use]
    pub const fn highest_zone(self, highest_zone: ZoneKind) -> Self {
        Self { highest_zone, ..self }
    }

    /// Sets how far below the watermarks the request may go. Default: [`Depth::Normal`].
    #[must_use]
    pub const fn depth(self, depth: Depth) -> Self {
        Self { depth, ..self }
    }

    /// Sets the owner word, which the allocator stores with the block and passes to
    /// [`Migrate`](crate::Migrate): the key of the owner's reverse map. Default: 0.
    #[must_use]
    pub const fn owner(self, owner: u64) -> Self {
        Self { owner, ..self }
    }

    /// For the target block of a migration: no other migration can move it until it is unpinned.
    pub(crate) const fn pinned(self) -> Self {
        Self { pinned: true, ..self }
    }
}
