//! Every block on every list, link by link: what an audit compares the counters with.
//!
//! Nothing that is stored beside the links is believed: what the orders, pages, shelves and lengths say is compared with what is
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
            let Some(area) = mem.blocks.area_at(pageblock) else {
                continue;
            };
            damaged += usize::from(Place::of::<G>(area, kind.index()) != Place::current(area));
            let mut pages = 0;
            for order in Order::ZERO.up_to(G::MAX_ORDER) {
                for index in area.blocks(&mem.frames, order, G::PAGEBLOCK_ORDER.pages() + 1) {
                    let pfn = mem.frames.pfn(index);
                    visit(order, kind, pfn);
                    damaged += usize::from(mem.blocks.area(pfn).is_none_or(|(home, _)| home != pageblock));
                    counts[order.index()] += 1;
                    pages += order.pages();
                }
            }
            damaged += usize::from(pages != area.pages() as usize);
        }
        let agree = |order: &Order| self.areas[order.index()].counts[kind.index()] == counts[order.index()];
        damaged + Order::ZERO.up_to(G::MAX_ORDER).filter(|order| !agree(order)).count()
    }
}
