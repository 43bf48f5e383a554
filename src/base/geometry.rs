//! The geometry of a machine: the largest block, the size of a pageblock, and where zones end.
//!
//! It is a compile-time parameter of the allocator, so that models can run on machines of eight
//! pages, and tests cover pageblocks smaller than, equal to and larger than the largest block.

use core::marker::PhantomData;

use crate::base::order::Order;
use crate::base::pfn::Pfn;

/// The sizes of blocks, pageblocks and zones, as compile-time constants.
pub trait Geometry: 'static {
    /// The largest order on the free lists (`MAX_PAGE_ORDER` in Linux); at most [`Order::LIMIT`].
    const MAX_ORDER: Order;
    /// The order of a pageblock, the unit of migratetypes and isolation; 1 to 20.
    const PAGEBLOCK_ORDER: Order;
    /// The end of zone DMA. A multiple of the pageblock and of the largest block.
    const DMA_END: Pfn = Pfn::new((16 << 20) >> 12);
    /// The end of zone DMA32. A multiple of the pageblock and of the largest block.
    const DMA32_END: Pfn = Pfn::new((4 << 30) >> 12);
}

/// The compile-time checks of a geometry's constants. Not an item of the trait, where an
/// implementation could replace it.
pub(crate) struct Checked<G>(PhantomData<G>);

impl<G: Geometry> Checked<G> {
    /// The order of a pageblock or of the largest block, whichever is larger. Records are made for
    /// whole blocks of it.
    pub(crate) const UNIT: Order =
        if G::PAGEBLOCK_ORDER.get() > G::MAX_ORDER.get() { G::PAGEBLOCK_ORDER } else { G::MAX_ORDER };

    /// Fails to compile if a constant of `G` is out of range.
    pub(crate) const OK: () = {
        assert!(G::MAX_ORDER.get() <= Order::LIMIT.get());
        assert!(G::PAGEBLOCK_ORDER.get() >= 1 && G::PAGEBLOCK_ORDER.get() <= 20);
        assert!(G::PAGEBLOCK_ORDER.is_aligned(G::DMA_END));
        assert!(G::PAGEBLOCK_ORDER.is_aligned(G::DMA32_END));
        assert!(G::MAX_ORDER.is_aligned(G::DMA_END));
        assert!(G::MAX_ORDER.is_aligned(G::DMA32_END));
        assert!(G::DMA_END.number() <= G::DMA32_END.number());
    };
}

/// x86_64 with 4 KiB pages: blocks up to 4 MiB (order 10), pageblocks of 2 MiB (order 9).
///
/// Zone DMA ends at 16 MiB and zone DMA32 at 4 GiB.
#[derive(Clone, Copy, Debug)]
pub enum X86_64 {}

impl Geometry for X86_64 {
    const MAX_ORDER: Order = Order::new(10);
    const PAGEBLOCK_ORDER: Order = Order::new(9);
}
