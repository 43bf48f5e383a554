//! The geometry of a machine: how large blocks get and where zones end.
//!
//! A compile-time parameter of the allocator, so that models run on machines of eight pages and so
//! that a pageblock below, equal to and above the largest buddy are all tested: the machines of the
//! 2014 discussion differ in exactly that. Neighbour: [`order`](crate::order).

use crate::base::order::Order;
use crate::base::pfn::Pfn;

/// The sizes that an allocator is built around.
pub trait Geometry: 'static {
    /// The largest order on the free lists (`MAX_PAGE_ORDER` in Linux); at most [`Order::LIMIT`].
    const MAX_ORDER: Order;
    /// The order of a pageblock, the unit of migratetype and isolation (`pageblock_order` in Linux).
    const PAGEBLOCK_ORDER: Order;
    /// The first frame above zone DMA. A multiple of a pageblock and of the largest block.
    const DMA_END: Pfn = Pfn::new((16 << 20) >> 12);
    /// The first frame above zone DMA32. A multiple of a pageblock and of the largest block.
    const DMA32_END: Pfn = Pfn::new((4 << 30) >> 12);

    /// Holds at compile time for every geometry that an allocator is built with.
    #[doc(hidden)]
    const CHECKED: () = {
        assert!(Self::MAX_ORDER.get() <= Order::LIMIT.get());
        assert!(Self::PAGEBLOCK_ORDER.get() >= 1 && Self::PAGEBLOCK_ORDER.get() <= 20);
        assert!(Self::PAGEBLOCK_ORDER.is_aligned(Self::DMA_END));
        assert!(Self::PAGEBLOCK_ORDER.is_aligned(Self::DMA32_END));
        assert!(Self::MAX_ORDER.is_aligned(Self::DMA_END));
        assert!(Self::MAX_ORDER.is_aligned(Self::DMA32_END));
        assert!(Self::DMA_END.number() <= Self::DMA32_END.number());
    };
}

/// x86_64 with 4 KiB pages: largest block 4 MiB (order 10), pageblock 2 MiB (order 9), zones DMA
/// below 16 MiB and DMA32 below 4 GiB.
#[derive(Clone, Copy, Debug)]
pub enum X86_64 {}

impl Geometry for X86_64 {
    const MAX_ORDER: Order = Order::new(10);
    const PAGEBLOCK_ORDER: Order = Order::new(9);
}
