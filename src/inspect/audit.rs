//! The audit: every counter, and what a walk of the lists finds, at one moment.
//!
//! An audit revokes every CPU's access to its pcplists, locks them and then the zone, so that
//! nothing changes while it walks: the result is exact although the other CPUs work before and
//! after. It follows the links and bits themselves and does not trust the lengths. The drift of a
//! counter is counter minus truth: positive is the dangerous sign (watermark checks pass without
//! memory), negative looks like a leak.

use core::fmt;

use crate::base::{FrameKind, FreeKind, Geometry, MigrateType, Pageblock, Platform, ZoneKind};
use crate::buddy::{Change, Counters, Pool};
use crate::inspect::freeze::{CachedPages, freeze};
use crate::page_allocator::PageAllocator;
use crate::records::Descriptors;
use crate::zone::ZoneInner;

/// A counter, and the true value, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// The counter.
    pub counter: usize,
    /// The result of a walk of the lists.
    pub truth: usize,
}

impl Reading {
    /// Counter minus truth, in pages: + is an overcount, the dangerous sign.
    #[must_use]
    pub const fn drift(&self) -> isize {
        self.counter.wrapping_sub(self.truth).cast_signed()
    }
}

/// One zone at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ZoneAudit {
    /// Which zone.
    pub zone: ZoneKind,
    /// Free pages.
    pub free: Reading,
    /// Free pages on CMA lists.
    pub free_cma: Reading,
    /// Free pages of the atomic reserve.
    pub free_atomic: Reading,
    /// Pages on isolated lists.
    pub isolated: Reading,
    /// Pages on pcplists.
    pub cached: Reading,
    /// Free pages on a list that is not their pageblock's. Not 0 is damage.
    pub misplaced: usize,
    /// Lists whose links and length disagree, or that have a stale entry. Not 0 is damage.
    pub damaged_lists: usize,
}

impl ZoneAudit {
    /// Every counter's drift, with the counter's name.
    pub fn drifts(&self) -> impl Iterator<Item = (&'static str, isize)> {
        [
            ("free", self.free.drift()),
            ("free CMA", self.free_cma.drift()),
            ("free high-atomic", self.free_atomic.drift()),
            ("isolated", self.isolated.drift()),
            ("cached", self.cached.drift()),
        ]
        .into_iter()
    }

    /// The largest drift without its sign.
    #[must_use]
    pub fn max_abs_drift(&self) -> usize {
        self.drifts().map(|(_, drift)| drift.unsigned_abs()).max().unwrap_or(0)
    }

    /// Whether every counter is right and every page is on the right list.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.max_abs_drift() == 0 && self.misplaced == 0 && self.damaged_lists == 0
    }
}

/// The zones, each at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditReport {
    /// By zone, lowest first.
    pub zones: [ZoneAudit; ZoneKind::COUNT],
}

impl AuditReport {
    /// Whether every counter of every zone is right and every page is on the right list.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.zones.iter().all(ZoneAudit::is_exact)
    }

    /// The largest drift of any counter without its sign, in pages.
    #[must_use]
    pub fn max_abs_drift(&self) -> usize {
        self.zones.iter().map(ZoneAudit::max_abs_drift).max().unwrap_or(0)
    }

    /// The drift of the free counter, summed over the zones, in pages.
    #[must_use]
    pub fn free_drift(&self) -> isize {
        self.zones.iter().map(|zone| zone.free.drift()).sum()
    }
}

impl fmt::Display for AuditReport {
    /// A line for each zone: free, CMA, isolated and cached pages, and what is wrong with them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for zone in self.zones.iter().filter(|zone| zone.free.counter + zone.free.truth > 0) {
            write!(
                f,
                "{:<6} free {} (CMA {}), isolated {}, cached {}:",
                zone.zone,
                zone.free.counter.cast_signed(),
                zone.free_cma.counter.cast_signed(),
                zone.isolated.counter.cast_signed(),
                zone.cached.counter
            )?;
            if zone.is_exact() {
                writeln!(f, " exact")?;
                continue;
            }
            for (name, drift) in zone.drifts().filter(|(_, drift)| *drift != 0) {
                write!(f, " {name} {drift:+}")?;
            }
            writeln!(f, ", {} misplaced, {} damaged lists", zone.misplaced, zone.damaged_lists)?;
        }
        Ok(())
    }
}

/// Walks every free list of a frozen zone.
pub(super) fn audit_zone<G: Geometry>(
    inner: &ZoneInner<G>,
    desc: &Descriptors<'_, G>,
    zone: ZoneKind,
    cached: CachedPages,
) -> ZoneAudit {
    let mut truth = Counters::default();
    let (mut misplaced, mut damaged_lists) = (0, cached.stale);
    damaged_lists += usize::from(inner.buddy.parking().is_damaged(desc));
    let mut misfiled = 0;
    damaged_lists += inner.buddy.walk(desc, |order, kind, pfn| {
        let state = desc.frames.state(pfn);
        if !(state.is(FrameKind::Free) && state.order() == order && state.free_kind() == kind) {
            misfiled += 1;
        }
        truth.account(Pool::List(kind), Change::Join, order.pages());
        if Pageblock::covering::<G>(order.block(pfn)).any(|block| desc.kind(block.start()) != kind) {
            misplaced += order.pages();
        }
    });
    damaged_lists += misfiled;
    // Deferred memory is free and on no list yet.
    let deferred = inner.buddy.deferred();
    truth.account(Pool::List(FreeKind::Listed(MigrateType::Movable)), Change::Join, deferred.pages());
    misplaced += deferred.misplaced(desc);
    let counters = inner.buddy.counters();
    let reading = |counter, truth| Reading { counter, truth };
    ZoneAudit {
        zone,
        free: reading(counters.free(), truth.free()),
        free_cma: reading(counters.free_cma(), truth.free_cma()),
        free_atomic: reading(counters.free_atomic(), truth.free_atomic()),
        isolated: reading(counters.isolated(), truth.isolated()),
        cached: reading(cached.counted, cached.found),
        misplaced,
        damaged_lists,
    }
}

/// Audits every zone.
pub(crate) fn audit<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>) -> AuditReport {
    let revocation = allocator.revoke_lists();
    AuditReport {
        zones: allocator.zones().each_ref().map(|zone| {
            freeze(allocator, zone, &revocation, &mut |inner, cached| {
                audit_zone(inner, allocator.desc(), zone.kind(), cached)
            })
        }),
    }
}
