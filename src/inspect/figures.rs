//! Snapshots of page counts, in the form of `/proc/zoneinfo` and `/proc/meminfo`.
//!
//! A snapshot is a plain value, which needs no heap. The numbers of a zone are of one moment,
//! because its lock is held; different zones are of different moments.

use core::fmt;

use crate::base::{Geometry, Platform, ZoneKind};
use crate::limits::Watermarks;
use crate::page_allocator::PageAllocator;
use crate::zone::at_least_zero;

/// The page counts and limits of one zone, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ZoneFigures {
    /// The zone.
    pub zone: ZoneKind,
    /// Frames from the first of the zone that has a record to the last, including holes.
    pub spanned: usize,
    /// Frames of memory that the allocator was given, including offline ones.
    pub present: usize,
    /// Managed frames: present less offline and bad ones.
    pub managed: usize,
    /// Free pages.
    pub free: usize,
    /// Free pages on CMA lists, included in `free`.
    pub free_cma: usize,
    /// Free pages of the high-atomic reserve, included in `free`.
    pub free_atomic: usize,
    /// Free pages of movable-only memory, included in `free`.
    pub free_movable_only: usize,
    /// Pages on isolated lists.
    pub isolated: usize,
    /// Guard pages.
    pub guard: usize,
    /// Offline pages.
    pub offline: usize,
    /// Bad frames that are retired.
    pub hwpoisoned: usize,
    /// Pages that are being reported to the host. They are neither free nor in use.
    pub reporting: usize,
    /// Pages on free lists, isolated ones included, that have been reported and not been allocated
    /// since. Included in `free` or `isolated`.
    pub reported: usize,
    /// Pages on the pcplists of all CPUs. Read after the others, without a lock.
    pub cached: usize,
    /// Managed pages of movable-only memory.
    pub movable_only: usize,
    /// The watermarks. They are for memory that is not movable-only.
    pub watermarks: Watermarks,
    /// The lowmem reserves: pages kept back from an unmovable or reclaimable request, by its
    /// highest zone.
    pub lowmem_reserve: [usize; ZoneKind::COUNT],
    /// The same for a movable request. It is more if a higher zone has movable-only memory.
    pub lowmem_reserve_movable: [usize; ZoneKind::COUNT],
    /// Pages that a refill or a spill of a pcplist moves.
    pub batch: usize,
    /// The most pages on a pcplist of order 0.
    pub high: usize,
    /// How many times the zone lock was taken since boot, including by reports such as this one.
    pub lock_holds: u64,
}

/// The page counts of the zones. `Display` prints them like `/proc/zoneinfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ZoneInfo {
    /// The zones, lowest first.
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
                ("  movable-only", zone.free_movable_only),
                ("isolated", zone.isolated),
                ("cached", zone.cached),
                ("guard", zone.guard),
                ("offline", zone.offline),
                ("hwpoisoned", zone.hwpoisoned),
                ("reporting", zone.reporting),
                ("reported", zone.reported),
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

/// The page counts of the machine. `Display` prints them in KiB, like `/proc/meminfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct MemInfo {
    /// Managed pages.
    pub total: usize,
    /// Free pages.
    pub free: usize,
    /// Free pages that only movable requests may use, in CMA areas.
    pub free_cma: usize,
    /// Free pages that only movable requests may use, in movable-only memory.
    pub free_movable_only: usize,
    /// Pages on isolated lists.
    pub isolated: usize,
    /// Pages on pcplists.
    pub cached: usize,
    /// Guard pages.
    pub guard: usize,
    /// Offline pages, which are not included in `total`.
    pub offline: usize,
    /// Pages in use: the rest of `total`. See
    /// [`allocated_count`](crate::PageAllocator::allocated_count).
    pub allocated: usize,
    /// Bad frames that are retired, which are not included in `total`.
    pub hwpoisoned: usize,
    /// Pages that are being reported to the host.
    pub reporting: usize,
    /// Pages on free lists that have been reported to the host, included in `free` or `isolated`.
    pub reported: usize,
}

impl fmt::Display for MemInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, pages) in [
            ("MemTotal:", self.total),
            ("MemFree:", self.free),
            ("CmaFree:", self.free_cma),
            ("MovableFree:", self.free_movable_only),
            ("Isolated:", self.isolated),
            ("PcpCached:", self.cached),
            ("Guard:", self.guard),
            ("Offline:", self.offline),
            ("Allocated:", self.allocated),
            ("HardwareCorrupted:", self.hwpoisoned),
            ("Reporting:", self.reporting),
            ("Reported:", self.reported),
        ] {
            writeln!(f, "{name:<18}{:>12} kB", pages.saturating_mul(4))?;
        }
        Ok(())
    }
}

pub(crate) fn zoneinfo<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>) -> ZoneInfo {
    let zones = allocator.zones().each_ref().map(|zone| {
        let mut figures = allocator.in_zone(zone, |inner| {
            let counters = inner.buddy.counters();
            ZoneFigures {
                zone: zone.kind(),
                spanned: allocator.desc().frames.extents().span_in(zone.addresses()).len(),
                present: inner.present,
                managed: inner.managed(),
                free: at_least_zero(counters.free()),
                free_cma: at_least_zero(counters.free_cma()),
                free_atomic: at_least_zero(counters.free_atomic()),
                free_movable_only: at_least_zero(counters.free_movable_only()),
                isolated: at_least_zero(counters.isolated()),
                guard: at_least_zero(counters.guard()),
                offline: counters.offline(),
                hwpoisoned: counters.hwpoisoned(),
                reporting: counters.reporting(),
                reported: counters.reported(),
                cached: 0,
                watermarks: inner.marks,
                movable_only: inner.buddy.movable_only(),
                lowmem_reserve: inner.reserves.unmovable,
                lowmem_reserve_movable: inner.reserves.movable,
                batch: inner.limits.batch,
                high: inner.limits.high(),
                lock_holds: inner.lock_holds,
            }
        });
        figures.cached = allocator.all_lists().iter().map(|lists| lists.pages::<G>(zone.kind())).sum();
        figures
    });
    ZoneInfo { zones, cpus: allocator.lists().len() }
}

pub(crate) fn meminfo<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>) -> MemInfo {
    let sum = zoneinfo(allocator).zones.iter().fold(MemInfo::default(), |sum, zone| MemInfo {
        total: sum.total + zone.managed,
        free: sum.free + zone.free,
        free_cma: sum.free_cma + zone.free_cma,
        free_movable_only: sum.free_movable_only + zone.free_movable_only,
        isolated: sum.isolated + zone.isolated,
        cached: sum.cached + zone.cached,
        guard: sum.guard + zone.guard,
        offline: sum.offline + zone.offline,
        hwpoisoned: sum.hwpoisoned + zone.hwpoisoned,
        reporting: sum.reporting + zone.reporting,
        reported: sum.reported + zone.reported,
        allocated: 0,
    });
    MemInfo { allocated: allocator.allocated_count(), ..sum }
}
