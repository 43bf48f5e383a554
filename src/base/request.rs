//! Allocation requests: order, mobility, highest zone, watermark depth and owner word.

use crate::base::migratetype::Mobility;
use crate::base::order::Order;
use crate::base::site::Site;
use crate::base::zone_kind::ZoneKind;

/// How far a request may lower the free pages of a zone: its watermark depth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Depth {
    /// Down to the min watermark.
    #[default]
    Normal,
    /// For callers that cannot wait, as interrupt handlers: down to three eighths of min
    /// (`ALLOC_MIN_RESERVE` with `ALLOC_NON_BLOCK` in Linux). Requests of order 1 and more take the
    /// atomic reserve first, which is for them. Those of order 0 take it when no zone has other
    /// pages for them.
    Atomic,
    /// For callers whose failure would lose memory or data: down to the last page, and without
    /// lowmem reserves (`ALLOC_NO_WATERMARKS`). Takes the atomic reserve when no zone has other
    /// pages.
    Emergency,
}

/// An allocation request: a block of 2ⁿ frames, its mobility, and the zones that may serve it.
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
    /// See [`pinned`](Self::pinned).
    pub(crate) pinned: bool,
    /// Where the request was made. Set when it is; unknown in the requests of users.
    pub(crate) site: Site,
}

impl AllocRequest {
    /// A block of `order` from any zone, down to the min watermark, with owner word 0.
    #[must_use]
    pub const fn new(order: Order, mobility: Mobility) -> Self {
        Self {
            order,
            mobility,
            highest_zone: ZoneKind::Normal,
            depth: Depth::Normal,
            owner: 0,
            pinned: false,
            site: Site::UNKNOWN,
        }
    }

    /// One unmovable frame.
    #[must_use]
    pub const fn unmovable() -> Self {
        Self::new(Order::ZERO, Mobility::Unmovable)
    }

    /// One movable frame, for which its owner implements [`Migrate`](crate::Migrate).
    #[must_use]
    pub const fn movable() -> Self {
        Self::new(Order::ZERO, Mobility::Movable)
    }

    /// One reclaimable frame.
    #[must_use]
    pub const fn reclaimable() -> Self {
        Self::new(Order::ZERO, Mobility::Reclaimable)
    }

    /// Sets the order of the block. Default: the order given to the constructor.
    #[must_use]
    pub const fn order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// Limits the request to this zone and the zones below it. Default: any zone.
    #[must_use]
    pub const fn highest_zone(self, highest_zone: ZoneKind) -> Self {
        Self { highest_zone, ..self }
    }

    /// Sets the watermark depth. Default: [`Depth::Normal`].
    #[must_use]
    pub const fn depth(self, depth: Depth) -> Self {
        Self { depth, ..self }
    }

    /// Sets the owner word. Default: 0.
    ///
    /// The allocator stores it with the block and passes it to [`Migrate`](crate::Migrate): it is
    /// the key of the owner's reverse map.
    #[must_use]
    pub const fn owner(self, owner: u64) -> Self {
        Self { owner, ..self }
    }

    /// The request, made by the code at `site`.
    #[inline(always)]
    pub(crate) const fn at(self, site: Site) -> Self {
        Self { site, ..self }
    }

    /// Allocates the block in the migrating state: for the target of a migration.
    pub(crate) const fn pinned(self) -> Self {
        Self { pinned: true, ..self }
    }
}
