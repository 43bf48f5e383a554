//! The audit: what every counter says, and what the lists say, at one moment.
//!
//! [`PageAllocator::audit`] shuts every CPU's pcplists, locks them and then the zone, so that nothing moves while it
//! looks: the result is exact although the other CPUs go on before and after. It walks the lists link by link and bit by bit and
//! does not believe their lengths. The drift of a counter is counter minus truth: positive is the dangerous sign
//! (the watermarks pass with no memory behind them), negative looks like a leak. Neighbour: [`verify`](crate::verify)
//! walks the frames as well.

use core::fmt;

use crate::counters::{Change, Counters, Pool};
use crate::frame::state::FrameKind;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::{FreeKind, MigrateType};
use crate::page_allocator::PageAllocator;
use crate::pageblock::Pageblock;
use crate::pcp::{CpuLists, ListId, drain::Shut};
use crate::platform::Platform;
use crate::request::ZoneKind;
use crate::zone::{Zone, ZoneInner};

/// What a counter says and what is true, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// What the counter says.
    pub counter: usize,
    /// What the walk of the lists gives.
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
    /// Free pages on a list that is not their pageblock's: 0, or something is wrong.
    pub misplaced: usize,
    /// Lists whose links and length disagree: 0, or something is wrong.
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

    /// Whether every counter is right and every page is where it belongs.
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
    /// Whether every counter of every zone is right and every page is where it belongs.
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

/// What the pcplists of a zone hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CachedPages {
    pub(crate) reading: Reading,
    pub(crate) damaged_lists: usize,
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Runs `f` while nothing moves in the zone: every CPU's pcplists and the zone are locked, interrupts masked.
    pub(crate) fn frozen<R>(
        &self,
        zone: &Zone<G>,
        shut: &Shut<'_, 'm, P, G>,
        f: &mut dyn FnMut(&ZoneInner<G>, CachedPages) -> R,
    ) -> R {
        self.platform()
            .without_interrupts(|| self.freeze_lists(zone, shut.lists(), CachedPages::default(), f))
    }

    fn freeze_lists<R>(
        &self,
        zone: &Zone<G>,
        all: &[CpuLists<'m>],
        mut cached: CachedPages,
        f: &mut dyn FnMut(&ZoneInner<G>, CachedPages) -> R,
    ) -> R {
        let Some((lists, rest)) = all.split_first() else {
            return zone.locked(|inner| f(inner, cached));
        };
        let _locked = lists.lock();
        cached.reading.counter += lists.pages::<G>(zone.kind());
        for id in ListId::of_zone::<G>(zone.kind()) {
            for link in lists.blocks(id) {
                if self.mem().frames.state_at(link) == lists.cached(id.order()) {
                    cached.reading.truth += id.order().pages();
                } else {
                    cached.damaged_lists += 1;
                }
            }
        }
        self.freeze_lists(zone, rest, cached, f)
    }
}

impl<G: Geometry> ZoneInner<G> {
    /// Walks every free list.
    pub(crate) fn audit(&self, mem: &MemMap<'_, G>, zone: ZoneKind, cached: CachedPages) -> ZoneAudit {
        let mut truth = Counters::default();
        let (mut misplaced, mut damaged_lists) = (0, cached.damaged_lists);
        damaged_lists += usize::from(self.buddy.parking().is_damaged(mem));
        let mut misfiled = 0;
        damaged_lists += self.buddy.walk(mem, |order, kind, pfn| {
            let state = mem.frames.state(pfn);
            if !(state.is(FrameKind::Free) && state.order() == order && state.filed() == kind) {
                misfiled += 1;
            }
            truth.account(Pool::List(kind), Change::Join, order.pages());
            if Pageblock::covering::<G>(order.block(pfn)).any(|block| mem.kind(block.start()) != kind) {
                misplaced += order.pages();
            }
        });
        damaged_lists += misfiled;
        // On no list yet, and free all the same.
        let fresh = self.buddy.fresh();
        truth.account(Pool::List(FreeKind::Listed(MigrateType::Movable)), Change::Join, fresh.pages());
        misplaced += fresh.misplaced(mem);
        let counters = self.buddy.counters();
        let reading = |counter, truth| Reading { counter, truth };
        ZoneAudit {
            zone,
            free: reading(counters.free, truth.free),
            free_cma: reading(counters.free_cma, truth.free_cma),
            free_atomic: reading(counters.free_atomic, truth.free_atomic),
            isolated: reading(counters.isolated, truth.isolated),
            cached: cached.reading,
            misplaced,
            damaged_lists,
        }
    }
}

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// Compares every counter with a walk of the lists, exactly, zone by zone.
    ///
    /// Any CPU, while all CPUs work; several at a time. Holds all locks of one zone, interrupts masked, for as long as
    /// the walk of its free lists takes. Not from interrupt handlers. Needs stack in proportion to the CPUs.
    #[must_use]
    pub fn audit(&self) -> AuditReport {
        let shut = self.shut_lists();
        AuditReport {
            zones: self.zones().each_ref().map(|zone| {
                self.frozen(zone, &shut, &mut |inner, cached| inner.audit(self.mem(), zone.kind(), cached))
            }),
        }
    }
}
