//! The invariants, and the walk of every frame that checks them.
//!
//! - **I1** Every frame is the head of a block or the tail of exactly one; blocks do not overlap.
//! - **I2** Every free block is on the list that each of its pageblocks names.
//! - **I3** Every counter equals what a walk of the lists, the frames and the pageblocks finds.
//! - **I4** Every block on a list has the state of that list, and no list is damaged.
//! - **I5** present = free + isolated + cached + guard + allocated + offline + hwpoisoned +
//!   reporting.
//! - **I6** No block and its buddy are both free, if the two may merge; the buddy of a guard has a
//!   frame in use: allocated, on a pcplist, offline or being reported.
//! - **I7** The published counters equal the counters.
//! - **I8** A frame that is bad is retired, or in an allocated block whose head has a note of it.
//! - **I9** With the feature `page_owner`: the head of every allocated block has the site of its
//!   allocation, and no other frame has one, except heads of blocks on pcplists. So the pages of
//!   all sites add up to the allocated pages.
//!
//! - **I10** Every block that is being reported is on a list of the batch of its zone, and there is
//!   none without a batch. A free block that is marked as reported has at least the pageblock order
//!   and is on its list behind all that are not.
//! - **I11** The zone whose pcplists the fast path uses is the one that the exact counts of all
//!   zones choose.
//!
//! *On a list* includes deferred memory, whose frames are tails of no block: it is free and belongs
//! to the list of movable blocks of the largest order.
//!
//! The invariants hold whenever no lock is held. [`PageAllocator::verify`] checks all of them, and
//! the tests of the invariants have their numbers in their names.

#![expect(clippy::result_large_err, reason = "a violation says all about it, and there is no heap")]

use core::fmt;

use crate::base::{
    FrameKind, FreeKind, Geometry, MigrateType, Order, Pageblock, Pfn, PfnRange, Platform, Site, ZoneKind,
};
use crate::inspect::audit::{ZoneAudit, audit_zone};
use crate::inspect::freeze::{CachedPages, freeze};
use crate::page_allocator::PageAllocator;
use crate::records::Descriptors;
#[cfg(feature = "page_owner")]
use crate::records::FrameState;
use crate::zone::{Zone, ZoneInner};

/// An invariant that does not hold, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Violation {
    /// I1: the frame is the tail of no block, or is in two blocks.
    Place {
        /// The frame.
        pfn: Pfn,
        /// Where the last block was allocated that began there.
        site: Site,
    },
    /// I2, I3, I4 or I10: a list or a counter of a zone is wrong.
    Lists(ZoneAudit),
    /// I5: the pages of a zone do not add up to its present pages.
    Conservation {
        /// The zone.
        zone: ZoneKind,
        /// Frames of memory that the zone was given.
        present: usize,
        /// The sum of the pages that a walk of the frames found.
        found: usize,
    },
    /// I3: the number of pages of a kind differs from the counter for it.
    Census {
        /// The zone.
        zone: ZoneKind,
        /// The kind of frame.
        kind: FrameKind,
        /// The pages of this kind that a walk of the frames found.
        found: usize,
        /// The value of the counter.
        counted: usize,
    },
    /// I3: the pageblocks of the high-atomic reserve and their counter.
    Reserve {
        /// The zone.
        zone: ZoneKind,
        /// The pageblocks of type high-atomic.
        found: usize,
        /// The value of the counter.
        counted: usize,
    },
    /// I3: the managed frames in movable-only pageblocks and their counter.
    MovableOnly {
        /// The zone.
        zone: ZoneKind,
        /// The frames that a walk found.
        found: usize,
        /// The value of the counter.
        counted: usize,
    },
    /// I6: a block and its buddy are both free and may merge.
    Unmerged {
        /// The first frame of the block.
        pfn: Pfn,
        /// The order of both.
        order: Order,
        /// Where the last block was allocated that began there.
        site: Site,
    },
    /// I6: no frame of the buddy of a guard is in use, so that the guard guards nothing.
    IdleGuard {
        /// The first frame of the guard.
        pfn: Pfn,
        /// The order of the guard.
        order: Order,
        /// Where the block was allocated that the guard is beside.
        site: Site,
    },
    /// I8: a block with a frame that is marked as bad has no note of it or is not allocated, or it
    /// has a note and no such frame.
    HwPoison {
        /// The first frame of the block.
        pfn: Pfn,
        /// The kind of the block.
        kind: FrameKind,
    },
    /// I7: a published counter differs from the counter.
    Published {
        /// The zone.
        zone: ZoneKind,
    },
    /// I11: the fast path uses the pcplists of another zone than the counts choose.
    ZoneChoice {
        /// The zone with which this was found.
        zone: ZoneKind,
    },
    /// I10: a free block below the pageblock order is marked as reported.
    Reported {
        /// The first frame of the block.
        pfn: Pfn,
        /// The order of the block.
        order: Order,
    },
    /// I9: an allocated block has no site, or a frame has one that is no head of such a block.
    Owner {
        /// The frame.
        pfn: Pfn,
        /// Its kind.
        kind: FrameKind,
        /// Where the last block was allocated that began there.
        site: Site,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place { pfn, site } => {
                write!(f, "I1: {pfn} is in no block or in two{}", site.last_allocated())
            }
            Self::Lists(audit) => write!(
                f,
                "I2, I3, I4, I10: zone {} drifts by {} pages, {} misplaced, {} damaged lists",
                audit.zone,
                audit.max_abs_drift(),
                audit.misplaced,
                audit.damaged_lists
            ),
            Self::Conservation { zone, present, found } => {
                write!(f, "I5: zone {zone} has {present} frames, {found} were found")
            }
            Self::Census { zone, kind, found, counted } => {
                write!(f, "I3: zone {zone} has {found} pages that are {kind}, {counted} are counted")
            }
            Self::Reserve { zone, found, counted } => {
                write!(f, "I3: zone {zone} has {found} high-atomic pageblocks, {counted} are counted")
            }
            Self::MovableOnly { zone, found, counted } => {
                write!(f, "I3: zone {zone} has {found} movable-only pages, {counted} are counted")
            }
            Self::Unmerged { pfn, order, site } => {
                write!(f, "I6: the block of {order} at {pfn} and its buddy are free{}", site.last_allocated())
            }
            Self::IdleGuard { pfn, order, site } => {
                write!(
                    f,
                    "I6: no frame beside the guard of {order} at {pfn} is in use{}",
                    site.last_allocated()
                )
            }
            Self::HwPoison { pfn, kind } => {
                write!(f, "I8: the block at {pfn} is {kind} and has wrong marks of bad frames")
            }
            Self::Reported { pfn, order } => {
                write!(f, "I10: the free block of {order} at {pfn} is marked as reported")
            }
            Self::Published { zone } => write!(f, "I7: zone {zone} published other values than its counters"),
            Self::ZoneChoice { zone } => {
                write!(f, "I11: the choice of zones is not that of the counts of zone {zone} and the others")
            }
            Self::Owner { pfn, kind, site } => {
                write!(f, "I9: {pfn} is {kind} and has the wrong site{}", site.last_allocated())
            }
        }
    }
}

impl core::error::Error for Violation {}

/// The frames of a zone by kind, in pages: the result of a walk that found no violation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ZoneCensus {
    /// Frames of memory that the zone was given, including offline ones.
    pub present: usize,
    /// On free lists, except isolated ones.
    pub free: usize,
    /// On isolated lists.
    pub isolated: usize,
    /// On pcplists.
    pub cached: usize,
    /// Guard pages.
    pub guard: usize,
    /// Allocated, including contiguous allocations.
    pub allocated: usize,
    /// Offline.
    pub offline: usize,
    /// Bad frames that are retired.
    pub hwpoisoned: usize,
    /// Parked, under the experimental design of that name; otherwise 0.
    pub parked: usize,
    /// Being reported to the host.
    pub reporting: usize,
}

impl ZoneCensus {
    fn add(&mut self, kind: FrameKind, free_kind: FreeKind, pages: usize) {
        match (kind, free_kind) {
            (FrameKind::Free, FreeKind::Isolated) => self.isolated += pages,
            (FrameKind::Free, FreeKind::Listed(_)) => self.free += pages,
            (FrameKind::Cached, _) => self.cached += pages,
            (FrameKind::Guard, _) => self.guard += pages,
            (FrameKind::Allocated | FrameKind::Contig, _) => self.allocated += pages,
            (FrameKind::Offline, _) => self.offline += pages,
            (FrameKind::HwPoison, _) => self.hwpoisoned += pages,
            (FrameKind::Parked, _) => self.parked += pages,
            (FrameKind::Reporting, _) => self.reporting += pages,
            (FrameKind::Hole | FrameKind::Reserved | FrameKind::Tail, _) => {}
        }
    }

    /// The right-hand side of I5.
    const fn sum(&self) -> usize {
        self.free
            + self.isolated
            + self.cached
            + self.guard
            + self.allocated
            + self.offline
            + self.hwpoisoned
            + self.parked
            + self.reporting
    }
}

/// The frames of the machine by kind: the result of a walk that found no violation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// The zones, lowest first.
    pub zones: [ZoneCensus; ZoneKind::COUNT],
}

impl VerifyReport {
    /// The sum over the zones.
    #[must_use]
    pub fn total(&self) -> ZoneCensus {
        self.zones.iter().fold(ZoneCensus::default(), |sum, zone| ZoneCensus {
            present: sum.present + zone.present,
            free: sum.free + zone.free,
            isolated: sum.isolated + zone.isolated,
            cached: sum.cached + zone.cached,
            guard: sum.guard + zone.guard,
            allocated: sum.allocated + zone.allocated,
            offline: sum.offline + zone.offline,
            hwpoisoned: sum.hwpoisoned + zone.hwpoisoned,
            parked: sum.parked + zone.parked,
            reporting: sum.reporting + zone.reporting,
        })
    }
}

/// Walks the frames of a zone block by block: checks I1 and I6, and counts for I3 and I5.
fn walk<G: Geometry>(
    desc: &Descriptors<'_, G>,
    zone: &Zone<G>,
    inner: &ZoneInner<G>,
) -> Result<ZoneCensus, Violation> {
    let mut census = ZoneCensus::default();
    for run in desc.frames.extents().runs(zone.addresses()) {
        walk_run(desc, inner, run, &mut census)?;
    }
    Ok(census)
}

/// Walks the frames of `run`.
fn walk_run<G: Geometry>(
    desc: &Descriptors<'_, G>,
    inner: &ZoneInner<G>,
    run: PfnRange,
    census: &mut ZoneCensus,
) -> Result<(), Violation> {
    let mut pfn = run.start();
    while pfn < run.end() {
        if let Some(deferred) = inner.buddy.deferred().containing(pfn) {
            if let Some(pfn) = deferred.iter().find(|pfn| !desc.frames.state(*pfn).is(FrameKind::Tail)) {
                return Err(Violation::Place { pfn, site: desc.site(pfn) });
            }
            census.add(FrameKind::Free, FreeKind::Listed(MigrateType::Movable), deferred.len());
            pfn = deferred.end();
            continue;
        }
        let state = desc.frames.state(pfn);
        if !state.kind().is_head() {
            if state.is(FrameKind::Tail) {
                return Err(Violation::Place { pfn, site: desc.site(pfn) });
            }
            pfn = pfn.up(1);
            continue;
        }
        let order = state.order();
        if !order.is_aligned(pfn) || order > G::MAX_ORDER {
            return Err(Violation::Place { pfn, site: desc.site(pfn) });
        }
        let block = order.block(pfn);
        let mut bad = state.is_marked_bad();
        for pfn in block.iter().skip(1) {
            let tail = desc.frames.state(pfn);
            if !tail.is(FrameKind::Tail) {
                return Err(Violation::Place { pfn, site: desc.site(pfn) });
            }
            bad |= tail.is_marked_bad();
        }
        let in_use = matches!(state.kind(), FrameKind::Allocated | FrameKind::Contig | FrameKind::Reporting);
        if bad != state.has_bad() || bad && !in_use {
            return Err(Violation::HwPoison { pfn, kind: state.kind() });
        }
        if state.is(FrameKind::Free) && state.is_reported() && order < G::PAGEBLOCK_ORDER {
            return Err(Violation::Reported { pfn, order });
        }
        if state.is(FrameKind::Free) && order < G::MAX_ORDER {
            let buddy = desc.frames.state(order.buddy(pfn));
            let merges = order < G::PAGEBLOCK_ORDER
                || (desc.kind(pfn) == desc.kind(order.buddy(pfn)) && desc.kind(pfn) != FreeKind::Isolated);
            if buddy.is(FrameKind::Free) && buddy.order() == order && merges {
                return Err(Violation::Unmerged { pfn, order, site: desc.site(pfn) });
            }
        }
        if state.is(FrameKind::Guard) {
            let buddy = order.block(order.buddy(pfn));
            let mut in_use = desc.frames.blocks(buddy, G::MAX_ORDER).filter_map(|found| found.block);
            if in_use.all(|(_, state)| matches!(state.kind(), FrameKind::Free | FrameKind::HwPoison)) {
                return Err(Violation::IdleGuard { pfn, order, site: desc.site(buddy.start()) });
            }
        }
        #[cfg(feature = "page_owner")]
        check_sites(desc, block, state)?;
        census.add(state.kind(), state.free_kind(), order.pages());
        pfn = block.end();
    }
    Ok(())
}

/// The managed frames of a range that has no deferred memory.
fn managed_in<G: Geometry>(desc: &Descriptors<'_, G>, range: PfnRange) -> usize {
    let blocks = desc.frames.blocks(range, G::MAX_ORDER).filter_map(|found| found.block);
    let managed = |kind| !matches!(kind, FrameKind::Offline | FrameKind::HwPoison);
    let parts = blocks.filter(|(_, state)| managed(state.kind()));
    parts.map(|(head, state)| state.order().block(head).intersection(range).len()).sum()
}

/// Checks I9 for a block whose head is in this state.
#[cfg(feature = "page_owner")]
fn check_sites<G: Geometry>(
    desc: &Descriptors<'_, G>,
    block: PfnRange,
    state: FrameState,
) -> Result<(), Violation> {
    let current = |pfn: &Pfn| desc.sites.is_current(desc.frames.index_of(*pfn));
    let allocated = matches!(state.kind(), FrameKind::Allocated | FrameKind::Contig);
    let head = block.start();
    let wrong_head = current(&head) != allocated && !state.is(FrameKind::Cached);
    match if wrong_head { Some(head) } else { block.iter().skip(1).find(current) } {
        Some(pfn) => Err(Violation::Owner { pfn, kind: desc.frames.state(pfn).kind(), site: desc.site(pfn) }),
        None => Ok(()),
    }
}

fn check<G: Geometry>(
    desc: &Descriptors<'_, G>,
    zone: &Zone<G>,
    inner: &ZoneInner<G>,
    cached: CachedPages,
) -> Result<ZoneCensus, Violation> {
    let audit = audit_zone(inner, desc, zone.kind(), cached);
    if !audit.is_exact() {
        return Err(Violation::Lists(audit));
    }
    let mut census = walk(desc, zone, inner)?;
    census.present = inner.present;
    let kind = zone.kind();
    if census.sum() != census.present {
        return Err(Violation::Conservation { zone: kind, present: census.present, found: census.sum() });
    }
    let counters = inner.buddy.counters();
    for (state, found, counted) in [
        (FrameKind::Free, census.free, counters.free()),
        (FrameKind::Free, census.isolated, counters.isolated()),
        (FrameKind::Cached, census.cached, cached.counted),
        (FrameKind::Guard, census.guard, counters.guard()),
        (FrameKind::Offline, census.offline, counters.offline()),
        (FrameKind::HwPoison, census.hwpoisoned, counters.hwpoisoned()),
        (FrameKind::Parked, census.parked, inner.buddy.parking().pages()),
        (FrameKind::Reporting, census.reporting, counters.reporting()),
    ] {
        if found != counted {
            return Err(Violation::Census { zone: kind, kind: state, found, counted });
        }
    }
    let high_atomic = |pageblock: &Pageblock| {
        desc.pageblocks.state(pageblock.start()).migratetype == MigrateType::HighAtomic
    };
    let runs = desc.frames.extents().runs(zone.addresses());
    let found = runs.flat_map(Pageblock::covering::<G>).filter(high_atomic).count();
    let counted = inner.buddy.atomic_pageblocks();
    if found != counted {
        return Err(Violation::Reserve { zone: kind, found, counted });
    }
    let movable_only = |pageblock: &Pageblock| {
        desc.pageblocks.state(pageblock.start()).migratetype == MigrateType::MovableOnly
    };
    let runs = desc.frames.extents().runs(zone.addresses());
    let pageblocks = runs.flat_map(Pageblock::covering::<G>).filter(movable_only);
    let found = pageblocks.map(|pageblock| managed_in(desc, pageblock.range::<G>())).sum();
    let counted = inner.buddy.movable_only();
    if found != counted {
        return Err(Violation::MovableOnly { zone: kind, found, counted });
    }
    let published = zone.published();
    let agrees = published.free() == counters.free()
        && published.free_cma() == counters.free_cma()
        && published.isolated() == counters.isolated()
        && published.managed() == inner.managed();
    if !agrees {
        return Err(Violation::Published { zone: kind });
    }
    Ok(census)
}

pub(crate) fn verify<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
) -> Result<VerifyReport, Violation> {
    let revocation = allocator.revoke_lists();
    let mut report = VerifyReport::default();
    for (zone, census) in allocator.zones().iter().zip(&mut report.zones) {
        *census = freeze(allocator, zone, &revocation, &mut |inner, cached| {
            let census = check(allocator.desc(), zone, inner, cached)?;
            let kind = zone.kind();
            if !allocator.choice().is_right(kind, inner.watched_standings()) {
                return Err(Violation::ZoneChoice { zone: kind });
            }
            Ok(census)
        })?;
    }
    Ok(report)
}
