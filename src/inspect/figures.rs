//! Snapshots of page counts, in the shape of `/proc/zoneinfo` and `/proc/meminfo`.
//!
//! Each is a plain value that holds the numbers and displays them, without a heap. The numbers of a
//! zone are of one moment, taken with its lock held; different zones are of different moments.

use core::fmt;

use crate::base::{Geometry, Platform, ZoneKind};
use crate::limits::Watermarks;
use crate::page_allocator::PageAllocator;
use crate::zone::at_least_zero;

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
    /// How often the zone's lock was taken since construction: by calls that a pcplist did not
    /// serve, and by walks such as this one.
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

/// Figures by zone.
pub(crate) fn zoneinfo<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>) -> ZoneInfo {
    let zones = allocator.zones().each_ref().map(|zone| {
        let mut figures = allocator.in_zone(zone, |inner| {
            let counters = inner.buddy.counters();
            ZoneFigures {
                zone: zone.kind(),
                spanned: zone.span().len(),
                present: inner.present,
                managed: inner.present - counters.offline(),
                free: at_least_zero(counters.free()),
                free_cma: at_least_zero(counters.free_cma()),
                free_atomic: at_least_zero(counters.free_atomic()),
                isolated: at_least_zero(counters.isolated()),
                guard: at_least_zero(counters.guard()),
                offline: counters.offline(),
                cached: 0,
                watermarks: inner.marks,
                lowmem_reserve: inner.reserves,
                batch: inner.limits.batch,
                high: inner.limits.high(),
                lock_holds: inner.lock_holds,
            }
        });
        figures.cached = allocator.lists().iter().map(|lists| lists.pages::<G>(zone.kind())).sum();
        figures
    });
    ZoneInfo { zones, cpus: allocator.lists().len() }
}

/// The machine's figures.
pub(crate) fn meminfo<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>) -> MemInfo {
    zoneinfo(allocator).zones.iter().fold(MemInfo::default(), |sum, zone| MemInfo {
        total: sum.total + zone.managed,
        free: sum.free + zone.free,
        free_cma: sum.free_cma + zone.free_cma,
        isolated: sum.isolated + zone.isolated,
        cached: sum.cached + zone.cached,
        guard: sum.guard + zone.guard,
        offline: sum.offline + zone.offline,
    })
}
