//! Every block on every list, link by link and bit by bit: what an audit compares the counters with.
//!
//! Nothing that is stored beside them is believed: what the orders, pages, shelves and lengths say is compared with what is
//! found, and each difference is a damaged list. Neighbours: [`audit`](crate::audit), [`verify`](crate::verify).

use super::shelves::Place;
use super::{Buddy, ORDERS};
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::FreeKind;
use crate::order::Order;
use crate::pfn::Pfn;

impl<G: Geometry> Buddy<G> {
    /// Calls `visit` with each block, the order and the kind of the list that it is on. Says how many lists are damaged.
    pub(crate) fn walk(&self, mem: &MemMap<'_, G>, mut visit: impl FnMut(Order, FreeKind, Pfn)) -> usize {
        let mut damaged = 0;
        for kind in FreeKind::ALL {
            for order in Order::ZERO.up_to(G::MAX_ORDER) {
                let list = &self.areas[order.index()].lists[kind.index()];
                let found = list.iter(&mem.frames).inspect(|pfn| visit(order, kind, *pfn)).count();
                damaged += usize::from(found != list.len());
                #[cfg(feature = "faults")]
                self.strays.list(order, kind).iter(&mem.frames).for_each(|pfn| visit(order, kind, pfn));
            }
            damaged += self.walk_pageblocks(mem, kind, &mut visit);
        }
        damaged
    }

    /// The blocks that are kept with their pageblocks.
    fn walk_pageblocks(
        &self,
        mem: &MemMap<'_, G>,
        kind: FreeKind,
        visit: &mut impl FnMut(Order, FreeKind, Pfn),
    ) -> usize {
        let (mut damaged, mut counts) = (0, [0; ORDERS]);
        for pageblock in self.shelves[kind.index()].pageblocks(&mem.blocks, mem.blocks.len()) {
            let Some(tree) = mem.blocks.tree_at(pageblock) else {
                continue;
            };
            let place = Place::of::<G>(tree.area, kind.index());
            damaged += usize::from(place != Place::current(tree.area));
            let mut pages = 0;
            for order in Order::ZERO.up_to(G::MAX_ORDER).filter(|order| Self::is_small(*order)) {
                let mut blocks = 0;
                for index in tree.blocks(order) {
                    visit(order, kind, mem.frames.pfn(index));
                    blocks += 1;
                }
                damaged += usize::from(blocks != tree.area.count(order));
                damaged += usize::from((blocks != 0) != (tree.area.orders() >> order.get() & 1 != 0));
                counts[order.index()] += blocks;
                pages += blocks as usize * order.pages();
            }
            damaged += usize::from(pages != tree.area.pages() as usize);
        }
        let agree = |order: &Order| self.tallies[kind.index()].0[order.index()] == counts[order.index()];
        damaged + Order::ZERO.up_to(G::MAX_ORDER).filter(|order| !agree(order)).count()
    }
}
