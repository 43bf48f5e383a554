//! Visits every block on every list, for audits to compare with the counters.
//!
//! The walk follows the links and the bits. Everything that is stored beside them (orders, pages,
//! groups, lengths) is compared with what the walk finds; each difference is a damaged list, and so
//! is a reported block before one that is not reported.

use crate::base::{FreeKind, Geometry, Order, Pfn};
use crate::buddy::fullness::GroupId;
use crate::buddy::lists::Buddy;
use crate::records::Descriptors;

impl<G: Geometry> Buddy<G> {
    /// Calls `visit` with each free block and its list. Returns the number of damaged lists.
    pub(crate) fn walk(
        &self,
        desc: &Descriptors<'_, G>,
        mut visit: impl FnMut(Order, FreeKind, Pfn),
    ) -> usize {
        let mut damaged = 0;
        for kind in FreeKind::ALL {
            for order in Order::ZERO.up_to(G::MAX_ORDER) {
                let list = &self.areas[order.index()].lists[kind.index()];
                let (mut found, mut ordered, mut after_reported) = (0, true, false);
                for pfn in list.iter(&desc.frames) {
                    visit(order, kind, pfn);
                    let reported = desc.frames.state(pfn).is_reported();
                    ordered &= reported || !after_reported;
                    (found, after_reported) = (found + 1, reported);
                }
                damaged += usize::from(found != list.len() || !ordered);
                if let Some(misfiled) = self.misfiled.list(order, kind) {
                    misfiled.iter(&desc.frames).for_each(|pfn| visit(order, kind, pfn));
                }
            }
            damaged += self.walk_pageblocks(desc, kind, &mut visit);
        }
        damaged
    }

    /// The same for the blocks in the trees of the pageblocks of one kind.
    fn walk_pageblocks(
        &self,
        desc: &Descriptors<'_, G>,
        kind: FreeKind,
        visit: &mut impl FnMut(Order, FreeKind, Pfn),
    ) -> usize {
        let (mut damaged, mut counts) = (0, [0; Order::COUNT]);
        for pageblock in self.groups.pageblocks(&desc.pageblocks, kind, desc.pageblocks.len()) {
            let Some(tree) = desc.pageblocks.tree_at(pageblock) else {
                continue;
            };
            let group = GroupId::of::<G>(tree.summary.free(), kind);
            damaged += usize::from(!group.is_that_of::<G>(tree.summary));
            let (mut pages, mut found) = (0, 0_u32);
            for order in Order::ZERO.up_to(G::MAX_ORDER).filter(|order| Self::is_small(*order)) {
                let mut blocks = 0;
                for index in tree.blocks(order) {
                    visit(order, kind, desc.frames.pfn(index));
                    blocks += 1;
                }
                found |= u32::from(blocks != 0) << order.get();
                counts[order.index()] += blocks;
                pages += blocks as usize * order.pages();
            }
            damaged += usize::from(pages != tree.summary.pages() as usize);
            // An order that there is a block of must be in the summary, and the largest is exact.
            let orders = tree.summary.orders();
            damaged += usize::from(found & !orders != 0 || found.checked_ilog2() != orders.checked_ilog2());
        }
        let agree = |order: &Order| self.block_counts[kind.index()].blocks(*order) == counts[order.index()];
        damaged + Order::ZERO.up_to(G::MAX_ORDER).filter(|order| !agree(order)).count()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::base::{AllocRequest, FreeKind, Geometry, MigrateType, Order, X86_64};
    use crate::buddy::counters::Change;
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::records::{BuddyTree, FrameState};
    use crate::sync::Ordering;

    #[test]
    fn each_stored_figure_that_differs_from_the_walk_is_a_damaged_list() {
        let machine = machine(Bare, 16 << 20, Tuning::default());
        let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
        machine.drain_all();
        let (desc, kind) = (machine.desc(), FreeKind::Listed(MigrateType::Movable));
        machine.in_zone(&machine.zones()[2], |inner| {
            let buddy = &mut inner.buddy;
            buddy.init_range(desc, machine.span());
            let tree = desc.pageblocks.tree(pfn).unwrap();
            let page = tree.first(Order::ZERO).unwrap();
            let node = BuddyTree::<X86_64>::node(page, Order::ZERO);
            let damaged = |buddy: &super::Buddy<X86_64>| buddy.walk(desc, |_, _, _| ());
            assert_eq!(damaged(buddy), 0);

            // A block is not in the tree: the pages and the block count of the zone are wrong.
            tree.remove(node, Order::ZERO);
            assert_eq!(damaged(buddy), 2);
            // It is in the tree, but not its order in the summary.
            let free = tree.summary.free();
            tree.insert(node, Order::ZERO, 0);
            assert_eq!(damaged(buddy), 0);
            tree.summary.set_free(free);
            assert_eq!(damaged(buddy), 1);
            tree.summary.add(Order::ZERO, 0);
            // The largest order is one that there is no block of, so that the group is wrong, too.
            let free = tree.summary.free();
            tree.summary.add(Order::new(9), 0);
            assert_eq!(damaged(buddy), 2);
            tree.summary.set_free(free);
            assert_eq!(damaged(buddy), 0);

            // The pages of a pageblock.
            tree.summary.add_pages(1);
            assert_eq!(damaged(buddy), 1);
            tree.summary.add_pages(1_u32.wrapping_neg());
            // The fullness group that it is in.
            let group = tree.summary.group.load(Ordering::Relaxed);
            tree.summary.group.store(group ^ 1, Ordering::Relaxed);
            assert_eq!(damaged(buddy), 1);
            tree.summary.group.store(group, Ordering::Relaxed);
            // When it leaves that.
            let end = tree.summary.group_end.load(Ordering::Relaxed);
            tree.summary.group_end.store(end + 1, Ordering::Relaxed);
            assert_eq!(damaged(buddy), 1);
            tree.summary.group_end.store(end, Ordering::Relaxed);
            // The block count of the zone.
            buddy.block_counts[kind.index()].change(Order::ZERO, Change::Join);
            assert_eq!(damaged(buddy), 1);
            buddy.block_counts[kind.index()].change(Order::ZERO, Change::Leave);
            // A reported block in front of others.
            let order = X86_64::MAX_ORDER;
            let first = buddy.largest(desc, order, kind).unwrap();
            desc.frames.set_state(first, FrameState::free(order, kind).reported());
            assert_eq!(damaged(buddy), 1);
            desc.frames.set_state(first, FrameState::free(order, kind));
            assert_eq!(damaged(buddy), 0);
        });
    }
}
