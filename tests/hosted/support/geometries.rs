//! Geometries, and the macro that runs a test on each of them.
//!
//! Pageblock order = largest order, largest − 1 (x86_64), largest − 2, and two toys: the machines
//! of the 2014 discussion differ in exactly that. Every geometry has a machine of the same shape,
//! [`normal`], whose memory starts at [`base`] and is counted in [`unit`]s.

use pageblock::{Geometry, Order, Pfn};

use super::{Builder, frames};

/// Pageblock order = largest order.
pub(crate) enum Even {}
impl Geometry for Even {
    const MAX_ORDER: Order = Order::new(10);
    const PAGEBLOCK_ORDER: Order = Order::new(10);
}

/// Pageblock order = largest order − 2: a buddy spans up to four pageblocks.
pub(crate) enum Wide {}
impl Geometry for Wide {
    const MAX_ORDER: Order = Order::new(10);
    const PAGEBLOCK_ORDER: Order = Order::new(8);
}

/// A toy: blocks of at most 4 pages, pageblocks of 2, zones of 16 and 32 pages.
pub(crate) enum Toy {}
impl Geometry for Toy {
    const MAX_ORDER: Order = Order::new(2);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(16);
    const DMA32_END: Pfn = Pfn::new(48);
}

/// A toy whose pageblock (8 pages) is larger than its largest buddy (4 pages).
pub(crate) enum Tall {}
impl Geometry for Tall {
    const MAX_ORDER: Order = Order::new(2);
    const PAGEBLOCK_ORDER: Order = Order::new(3);
    const DMA_END: Pfn = Pfn::new(16);
    const DMA32_END: Pfn = Pfn::new(48);
}

/// A toy whose largest buddy spans eight pageblocks.
pub(crate) enum Spanning {}
impl Geometry for Spanning {
    const MAX_ORDER: Order = Order::new(4);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(32);
    const DMA32_END: Pfn = Pfn::new(64);
}

/// Three zones within a few thousand frames: DMA below 1024, DMA32 below 4096.
pub(crate) enum Zoned {}
impl Geometry for Zoned {
    const MAX_ORDER: Order = Order::new(6);
    const PAGEBLOCK_ORDER: Order = Order::new(5);
    const DMA_END: Pfn = Pfn::new(1024);
    const DMA32_END: Pfn = Pfn::new(4096);
}

/// Pages of a pageblock or of the largest block, whichever is more.
pub(crate) fn unit<G: Geometry>() -> usize {
    G::PAGEBLOCK_ORDER.pages().max(G::MAX_ORDER.pages())
}

/// The first frame of zone Normal, where [`normal`] has its memory.
pub(crate) fn base<G: Geometry>() -> usize {
    G::DMA32_END.number()
}

/// A machine with this many [`unit`]s of memory, all of it in zone Normal, and no watermarks.
pub(crate) fn normal<G: Geometry>(units: usize) -> Builder {
    frames(&[(base::<G>(), base::<G>() + units * unit::<G>())]).no_reserve()
}

/// The orders that a geometry has.
pub(crate) fn orders<G: Geometry>() -> impl DoubleEndedIterator<Item = Order> {
    (0..=G::MAX_ORDER.get()).map(Order::new)
}

/// Makes a test of each generic function on each geometry: `wide::the_name` and so on.
macro_rules! on_every_geometry {
    ($($test:ident),+ $(,)?) => {
        $crate::support::on_every_geometry!(@ even, $crate::support::Even, $($test),+);
        $crate::support::on_every_geometry!(@ x86_64, pageblock::X86_64, $($test),+);
        $crate::support::on_every_geometry!(@ wide, $crate::support::Wide, $($test),+);
        $crate::support::on_every_geometry!(@ toy, $crate::support::Toy, $($test),+);
        $crate::support::on_every_geometry!(@ tall, $crate::support::Tall, $($test),+);
    };
    (@ $name:ident, $geometry:ty, $($test:ident),+) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::$test::<$geometry>();
                }
            )+
        }
    };
}
pub(crate) use on_every_geometry;
