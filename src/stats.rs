//! Snapshots for a kernel's shell: buddyinfo, pagetypeinfo, zoneinfo, meminfo.
//!
//! Each is a plain value that holds the numbers and prints them, without a heap, in the shape that kernel
//! people know from `/proc`. A zone's numbers are of one moment, taken with its lock held; different zones are of
//! different moments. Neighbour: [`audit`](crate::audit), which checks such numbers instead of believing them.

use core::fmt;

use crate::frame::state::FrameKind;
use crate::geometry::Geometry;
use crate::migratetype::FreeKind;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pageblock::Pageblock;
use crate::platform::Platform;
use crate::request::ZoneKind;
use crate::watermark::Watermarks;
use crate::zone::Zone;
use crate::zone::published::at_least_zero;

const ORDERS: usize = Order::LIMIT.index() + 1;

/// Free blocks of one zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ZoneBlocks {
    /// Which zone.
    pub zone: ZoneKind,
    /// Pages that the zone manages.
    pub managed: usize,
    counts: [[usize; ORDERS]; FreeKind::COUNT],
    pageblocks: [usize; FreeKind::COUNT],
}

impl ZoneBlocks {
    /// Free blocks of this order on the list of this kind.
    #[must_use]
    pub fn count(&self, kind: FreeKind, order: Order) -> usize {
        self.counts[kind.index()].get(order.index()).copied().unwrap_or(0)
    }

    /// Blocks of this order on all lists together, isolated ones included (as `/proc/buddyinfo` has it).
    #[must_use]
    pub fn all(&self, order: Order) -> usize {
        FreeKind::ALL.into_iter().map(|kind| self.count(kind, order)).sum()
    }

    /// Pageblocks whose free pages belong on the list of this kind. Counted by [`PageAllocator::pagetypeinfo`] only.
    #[must_use]
    pub fn pageblocks(&self, kind: FreeKind) -> usize {
        self.pageblocks[kind.index()]
    }
}

/// Free blocks by zone and order. `Display` prints a line for each zone, as `/proc/buddyinfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuddyInfo {
    /// By zone, lowest first.
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

/// Free blocks by zone, list and order, and pageblocks by list. `Display` prints a table for each zone, as
/// `/proc/pagetypeinfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageTypeInfo {
    /// By zone, lowest first.
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

/// The figures of one zone, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ZoneFigures {
    /// Which zone.
    pub zone: ZoneKind,
    /// Frames from the zone's first to its last, holes included.
    pub spanned: usize,
    /// Frames of memory, offline ones included.
    pub present: usize,
    /// Frames that can be allocated: present less offline.
    pub managed: usize,
    /// Free pages.
    pub free: usize,
    /// Of these, on CMA lists.
    pub free_cma: usize,
    /// Of these, in the atomic reserve.
    pub free_atomic: usize,
    /// On isolated lists.
    pub isolated: usize,
    /// Guards.
    pub guard: usize,
    /// Offline.
    pub offline: usize,
    /// On pcplists, all CPUs together. Read after the others.
    pub cached: usize,
    /// The marks.
    pub watermarks: Watermarks,
    /// By the highest zone that a request could have used: pages kept back from it.
    pub lowmem_reserve: [usize; ZoneKind::COUNT],
    /// Pages that a pcplist refills or spills at a time.
    pub batch: usize,
    /// Single pages that a pcplist holds before it spills.
    pub high: usize,
    /// How often the zone's lock was taken since construction: by what did not find its block at hand on a pcplist, and by walks such as this.
    pub lock_holds: u64,
}

/// Figures by zone. `Display` prints a paragraph for each, as `/proc/zoneinfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ZoneInfo {
    /// By zone, lowest first.
    pub zones: [ZoneFigures; ZoneKind::COUNT],
    cpus: usize,
}

impl fmt::Display for ZoneInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for zone in self.zones.iter().filter(|zone| zone.present > 0) {
            writeln!(f, "zone {}", zone.zone)?;
            let marks = zone.watermarks;
            for (name, pages) in [
                ("free", zone.free),
                ("  min", marks.min),
                ("  low", marks.low),
                ("  high", marks.high),
                ("  CMA", zone.free_cma),
                ("  high-atomic", zone.free_atomic),
                ("isolated", zone.isolated),
                ("cached", zone.cached),
                ("guard", zone.guard),
                ("offline", zone.offline),
                ("managed", zone.managed),
                ("present", zone.present),
                ("spanned", zone.spanned),
            ] {
                writeln!(f, "  {name:<14}{pages:>10} pages")?;
            }
            let [dma, dma32, normal] = zone.lowmem_reserve;
            writeln!(f, "  lowmem reserve ({dma}, {dma32}, {normal})")?;
            writeln!(f, "  pcplists of {} CPUs: batch {}, high {}", self.cpus, zone.batch, zone.high)?;
        }
        Ok(())
    }
}

/// The machine's figures, in pages. `Display` prints them in KiB, as `/proc/meminfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct MemInfo {
    /// Managed pages.
    pub total: usize,
    /// Free pages.
    pub free: usize,
    /// Free pages that only movable requests may use.
    pub free_cma: usize,
    /// Pages on isolated lists.
    pub isolated: usize,
    /// Pages on pcplists.
    pub cached: usize,
    /// Guards.
    pub guard: usize,
    /// Offline pages (not in `total`).
    pub offline: usize,
}

impl fmt::Display for MemInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, pages) in [
            ("MemTotal:", self.total),
            ("MemFree:", self.free),
            ("CmaFree:", self.free_cma),
            ("Isolated:", self.isolated),
            ("PcpCached:", self.cached),
            ("Guard:", self.guard),
            ("Offline:", self.offline),
        ] {
            writeln!(f, "{name:<11}{:>12} kB", pages.saturating_mul(4))?;
        }
        Ok(())
    }
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    fn blocks(&self, zone: &Zone<G>) -> ZoneBlocks {
        self.in_zone(zone, |inner| {
            let mut counts = [[0; ORDERS]; FreeKind::COUNT];
            for kind in FreeKind::ALL {
                for order in Order::ZERO.up_to(G::MAX_ORDER) {
                    counts[kind.index()][order.index()] = inner.buddy.blocks(order, kind);
                }
            }
            ZoneBlocks {
                zone: zone.kind(),
                managed: inner.present - inner.buddy.counters().offline,
                counts,
                pageblocks: [0; FreeKind::COUNT],
            }
        })
    }

    /// Free blocks by zone and order.
    ///
    /// Any CPU, any context; takes each zone's lock for about a hundred loads.
    #[must_use]
    pub fn buddyinfo(&self) -> BuddyInfo {
        BuddyInfo { zones: self.zones().each_ref().map(|zone| self.blocks(zone)), max_order: G::MAX_ORDER }
    }

    /// Free blocks by zone, list and order, and pageblocks by list.
    ///
    /// As [`buddyinfo`](Self::buddyinfo); the pageblocks are counted without a lock.
    #[must_use]
    pub fn pagetypeinfo(&self) -> PageTypeInfo {
        let zones = self.zones().each_ref().map(|zone| {
            let mut blocks = self.blocks(zone);
            if blocks.managed > 0 {
                let is_memory = |pfn| {
                    !matches!(self.mem().frames.state(pfn).kind(), FrameKind::Hole | FrameKind::Reserved)
                };
                for block in Pageblock::covering::<G>(zone.span()) {
                    if !block.frames::<G>().iter().any(is_memory) {
                        continue;
                    }
                    blocks.pageblocks[self.mem().kind(block.start()).index()] += 1;
                }
            }
            blocks
        });
        PageTypeInfo { zones, max_order: G::MAX_ORDER }
    }

    /// Figures by zone.
    ///
    /// Any CPU, any context; takes each zone's lock for some loads. What other CPUs cache may change while it is added up.
    #[must_use]
    pub fn zoneinfo(&self) -> ZoneInfo {
        let zones = self.zones().each_ref().map(|zone| {
            let mut figures = self.in_zone(zone, |inner| {
                let counters = inner.buddy.counters();
                ZoneFigures {
                    zone: zone.kind(),
                    spanned: zone.span().len(),
                    present: inner.present,
                    managed: inner.present - counters.offline,
                    free: at_least_zero(counters.free),
                    free_cma: at_least_zero(counters.free_cma),
                    free_atomic: at_least_zero(counters.free_atomic),
                    isolated: at_least_zero(counters.isolated),
                    guard: at_least_zero(counters.guard),
                    offline: counters.offline,
                    cached: 0,
                    watermarks: inner.marks,
                    lowmem_reserve: inner.reserves,
                    batch: inner.limits.batch,
                    high: inner.limits.high,
                    lock_holds: inner.lock_holds,
                }
            });
            figures.cached = self.lists().iter().map(|lists| lists.pages::<G>(zone.kind())).sum();
            figures
        });
        ZoneInfo { zones, cpus: self.lists().len() }
    }

    /// The machine's figures.
    ///
    /// As [`zoneinfo`](Self::zoneinfo).
    #[must_use]
    pub fn meminfo(&self) -> MemInfo {
        self.zoneinfo().zones.iter().fold(MemInfo::default(), |sum, zone| MemInfo {
            total: sum.total + zone.managed,
            free: sum.free + zone.free,
            free_cma: sum.free_cma + zone.free_cma,
            isolated: sum.isolated + zone.isolated,
            cached: sum.cached + zone.cached,
            guard: sum.guard + zone.guard,
            offline: sum.offline + zone.offline,
        })
    }
}
