//! Snapshots of free blocks by order, in the form of `/proc/buddyinfo` and `/proc/pagetypeinfo`.
//!
//! A snapshot is a plain value, which needs no heap. The numbers of a zone are of one moment,
//! because its lock is held; different zones are of different moments.

use core::fmt;

use crate::base::{FreeKind, Geometry, Order, Pageblock, Platform, ZoneKind};
use crate::page_allocator::PageAllocator;
use crate::zone::Zone;

/// The free blocks of one zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ZoneBlocks {
    /// The zone.
    pub zone: ZoneKind,
    /// The managed pages of the zone.
    pub managed: usize,
    counts: [[u32; Order::COUNT]; FreeKind::COUNT],
    pageblocks: [u32; FreeKind::COUNT],
}

impl ZoneBlocks {
    const fn new(zone: ZoneKind) -> Self {
        let counts = [[0; Order::COUNT]; FreeKind::COUNT];
        Self { zone, managed: 0, counts, pageblocks: [0; FreeKind::COUNT] }
    }

    /// Zones without blocks.
    const NONE: [Self; ZoneKind::COUNT] =
        [Self::new(ZoneKind::Dma), Self::new(ZoneKind::Dma32), Self::new(ZoneKind::Normal)];

    /// The number of free blocks of this order on the list of this kind.
    #[must_use]
    pub fn count(&self, kind: FreeKind, order: Order) -> usize {
        self.counts[kind.index()].get(order.index()).map_or(0, |count| *count as usize)
    }

    /// The number of free blocks of this order on all lists, including isolated ones, as in Linux.
    #[must_use]
    pub fn all(&self, order: Order) -> usize {
        FreeKind::ALL.into_iter().map(|kind| self.count(kind, order)).sum()
    }

    /// The number of pageblocks whose free pages are on the list of this kind. 0 unless the value
    /// comes from [`PageAllocator::pagetypeinfo`].
    #[must_use]
    pub fn pageblocks(&self, kind: FreeKind) -> usize {
        self.pageblocks[kind.index()] as usize
    }
}

/// Free blocks by zone and order. `Display` prints a line for each zone, like `/proc/buddyinfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuddyInfo {
    /// The zones, lowest first.
    pub zones: [ZoneBlocks; ZoneKind::COUNT],
    max_order: Order,
}

impl fmt::Display for BuddyInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<11}", "order")?;
        for order in Order::ZERO.up_to(self.max_order) {
            write!(f, "{:>7}", order.get())?;
        }
        writeln!(f)?;
        for zone in self.zones.iter().filter(|zone| zone.managed > 0) {
            write!(f, "zone {:<6}", zone.zone)?;
            for order in Order::ZERO.up_to(self.max_order) {
                write!(f, "{:>7}", zone.all(order))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Free blocks by zone, list and order, and pageblocks by zone and list.
///
/// `Display` prints a line for each zone and list, like `/proc/pagetypeinfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageTypeInfo {
    /// The zones, lowest first.
    pub zones: [ZoneBlocks; ZoneKind::COUNT],
    max_order: Order,
}

impl fmt::Display for PageTypeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8}{:<12}{:>10}", "zone", "type", "pageblocks")?;
        for order in Order::ZERO.up_to(self.max_order) {
            write!(f, "{:>7}", order.get())?;
        }
        writeln!(f)?;
        for zone in self.zones.iter().filter(|zone| zone.managed > 0) {
            for kind in FreeKind::ALL {
                write!(f, "{:<8}{:<12}{:>10}", zone.zone, kind, zone.pageblocks(kind))?;
                for order in Order::ZERO.up_to(self.max_order) {
                    write!(f, "{:>7}", zone.count(kind, order))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// Writes the numbers of a zone in place: on a small stack every copy counts.
fn read_blocks<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    zone: &Zone<G>,
    blocks: &mut ZoneBlocks,
) {
    allocator.in_zone(zone, |inner| {
        blocks.managed = inner.managed();
        for kind in FreeKind::ALL {
            for order in Order::ZERO.up_to(G::MAX_ORDER) {
                blocks.counts[kind.index()][order.index()] = inner.buddy.blocks(order, kind) as u32;
            }
        }
    });
}

pub(crate) fn buddyinfo<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>) -> BuddyInfo {
    let mut info = BuddyInfo { zones: ZoneBlocks::NONE, max_order: G::MAX_ORDER };
    for (blocks, zone) in info.zones.iter_mut().zip(allocator.zones()) {
        read_blocks(allocator, zone, blocks);
    }
    info
}

pub(crate) fn pagetypeinfo<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>) -> PageTypeInfo {
    let desc = allocator.desc();
    let has_memory = |range| desc.frames.first_where(range, |state| !state.is_no_memory()).is_some();
    let mut info = PageTypeInfo { zones: ZoneBlocks::NONE, max_order: G::MAX_ORDER };
    for (blocks, zone) in info.zones.iter_mut().zip(allocator.zones()) {
        read_blocks(allocator, zone, blocks);
        if blocks.managed > 0 {
            let runs = desc.frames.extents().runs(zone.addresses());
            for pageblock in runs.flat_map(Pageblock::covering::<G>) {
                if has_memory(pageblock.range::<G>()) {
                    blocks.pageblocks[desc.kind(pageblock.start()).index()] += 1;
                }
            }
        }
    }
    info
}
