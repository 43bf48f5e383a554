//! The audit: compares every counter of a zone with a walk of its lists, at one moment.
//!
//! An audit revokes the access of every CPU to its pcplists, locks these and then the zone, so that
//! nothing changes during the walk: the result is exact although the CPUs work before and after.
//! The walk follows the links and bits and does not use the stored lengths. The *drift* of a
//! counter is its value minus the true value. A positive drift is the dangerous one, because
//! watermark checks then pass without memory; a negative drift looks like a leak.

use core::fmt;

use crate::base::{FrameKind, FreeKind, Geometry, MigrateType, Pageblock, Platform, ZoneKind};
use crate::buddy::{Change, Counters, Pool};
use crate::inspect::freeze::{CachedPages, freeze};
use crate::page_allocator::PageAllocator;
use crate::records::Descriptors;
use crate::zone::ZoneInner;

/// A counter and its true value, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// The value of the counter.
    pub counter: usize,
    /// The true value, by a walk of the lists.
    pub truth: usize,
}

impl Reading {
    /// The counter minus the true value, in pages. A positive drift is an overcount.
    #[must_use]
    pub const fn drift(&self) -> isize {
        self.counter.wrapping_sub(self.truth).cast_signed()
    }
}

/// The audit of one zone, at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ZoneAudit {
    /// The zone.
    pub zone: ZoneKind,
    /// Free pages.
    pub free: Reading,
    /// Free pages on CMA lists.
    pub free_cma: Reading,
    /// Free pages of the high-atomic reserve.
    pub free_atomic: Reading,
    /// Free pages of movable-only memory.
    pub free_movable_only: Reading,
    /// Pages on isolated lists.
    pub isolated: Reading,
    /// Pages on pcplists.
    pub cached: Reading,
    /// Pages that are being reported to the host.
    pub reporting: Reading,
    /// Pages on free lists that have been reported to the host.
    pub reported: Reading,
    /// Allocated pages: the memory of the zone that is neither free, isolated, cached, a guard,
    /// offline, retired nor being reported, by a walk of the lists and by the counters.
    pub allocated: usize,
    /// Free pages on a list that is not the one that their pageblock names; should be 0.
    pub misplaced: usize,
    /// Lists with a wrong length, a block in a wrong state, or a stale entry; should be 0.
    pub damaged_lists: usize,
}

impl ZoneAudit {
    /// The name and the drift of every counter.
    pub fn drifts(&self) -> impl Iterator<Item = (&'static str, isize)> {
        [
            ("free", self.free.drift()),
            ("free CMA", self.free_cma.drift()),
            ("free high-atomic", self.free_atomic.drift()),
            ("free movable-only", self.free_movable_only.drift()),
            ("isolated", self.isolated.drift()),
            ("cached", self.cached.drift()),
            ("reporting", self.reporting.drift()),
            ("reported", self.reported.drift()),
        ]
        .into_iter()
    }

    /// The largest absolute drift of a counter, in pages.
    #[must_use]
    pub fn max_abs_drift(&self) -> usize {
        self.drifts().map(|(_, drift)| drift.unsigned_abs()).max().unwrap_or(0)
    }

    /// Whether every counter is right, every page is on the right list and no list is damaged.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.max_abs_drift() == 0 && self.misplaced == 0 && self.damaged_lists == 0
    }
}

/// The audits of the zones, each at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditReport {
    /// The zones, lowest first.
    pub zones: [ZoneAudit; ZoneKind::COUNT],
}

impl AuditReport {
    /// Whether [`ZoneAudit::is_exact`] is true of every zone.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.zones.iter().all(ZoneAudit::is_exact)
    }

    /// The largest absolute drift of a counter of any zone, in pages.
    #[must_use]
    pub fn max_abs_drift(&self) -> usize {
        self.zones.iter().map(ZoneAudit::max_abs_drift).max().unwrap_or(0)
    }

    /// The sum of the drifts of the free counts of the zones, in pages.
    #[must_use]
    pub fn free_drift(&self) -> isize {
        self.zones.iter().map(|zone| zone.free.drift()).sum()
    }
}

impl fmt::Display for AuditReport {
    /// A line for each zone: free, free CMA, isolated and cached pages, and the drifts.
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

/// Audits one zone, which is frozen.
pub(super) fn audit_zone<G: Geometry>(
    inner: &ZoneInner<G>,
    desc: &Descriptors<'_, G>,
    zone: ZoneKind,
    cached: CachedPages,
) -> ZoneAudit {
    let mut truth = Counters::new();
    let (mut misplaced, mut damaged_lists) = (0, cached.stale);
    damaged_lists += usize::from(inner.buddy.parking().is_damaged(desc));
    let mut misfiled = 0;
    damaged_lists += inner.buddy.walk(desc, |order, kind, pfn| {
        let state = desc.frames.state(pfn);
        if !(state.is(FrameKind::Free) && state.order() == order && state.free_kind() == kind) {
            misfiled += 1;
        }
        truth.account(Pool::List(kind), Change::Join, order.pages());
        if state.is_reported() {
            truth.count_reported(Change::Join, order.pages());
        }
        if Pageblock::covering::<G>(order.block(pfn)).any(|block| desc.kind(block.start()) != kind) {
            misplaced += order.pages();
        }
    });
    damaged_lists += misfiled;
    damaged_lists +=
        inner.buddy.walk_batch(desc, |order, _| truth.account(Pool::Reporting, Change::Join, order.pages()));
    // Deferred memory is counted as free and is on no list yet.
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
        free_movable_only: reading(counters.free_movable_only(), truth.free_movable_only()),
        isolated: reading(counters.isolated(), truth.isolated()),
        cached: reading(cached.counted, cached.found),
        reporting: reading(counters.reporting(), truth.reporting()),
        reported: reading(counters.reported(), truth.reported()),
        allocated: inner
            .present
            .wrapping_sub(truth.free() + truth.isolated() + cached.found + truth.reporting())
            .wrapping_sub(
                counters.guard() + counters.offline() + counters.hwpoisoned() + inner.buddy.parking().pages(),
            ),
        misplaced,
        damaged_lists,
    }
}

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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::base::{AllocRequest, FreeKind, MigrateType, Mobility, Order, Pfn};
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::records::FrameState;

    #[test]
    fn a_listed_block_in_any_other_state_is_a_damaged_list() {
        let movable = FreeKind::Listed(MigrateType::Movable);
        for order in [Order::new(3), Order::new(9)] {
            let machine = machine(Bare, 8 << 20, Tuning::default());
            // Splits a largest block, so that there is a free block of every order.
            machine.alloc_pages(AllocRequest::movable()).unwrap();
            let frames = &machine.desc().frames;
            let is_one = |pfn: &Pfn| frames.state(*pfn) == FrameState::free(order, movable);
            let block = machine.span().iter().find(is_one).unwrap();
            let damaged = || machine.audit().zones[2].damaged_lists;
            assert_eq!(damaged(), 0);
            for other in [
                FrameState::TAIL,
                FrameState::allocated(order, Mobility::Movable),
                FrameState::cached(order, 0),
                FrameState::free(order.up(), movable),
                FrameState::free(order, FreeKind::Isolated),
            ] {
                frames.set_state(block, other);
                assert_eq!(damaged(), 1, "a listed block of {order} is {other:?}");
                assert!(machine.verify().is_err());
            }
            frames.set_state(block, FrameState::free(order, movable));
            assert_eq!(damaged(), 0);
        }
    }
}
