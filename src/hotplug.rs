//! Memory hot-remove and hot-add: taking ranges offline and bringing them back.
//!
//! Offlining is isolation, migration and test as for a contiguous allocation ([`contig`](crate::contig)), but of whole
//! pageblocks, with the kernel asked first ([`HotplugNotifier`]), and at its end the frames are offline instead of
//! allocated: they are no longer managed, and marks and reserves are calculated anew. `offline_pages` and
//! `online_pages` in Linux; attempts are bounded here, and [`PageAllocator::offline_dry_run`] says beforehand what would be in
//! the way.

use core::fmt;

use crate::buddy::Taken;
use crate::contig::{ContigOptions, ContigStats};
use crate::error::{ContigError, RangeError};
use crate::frame::state::FrameKind;
use crate::geometry::Geometry;
use crate::isolate::{NotFree, reason_for};
use crate::migrate::Migrate;
use crate::migratetype::Mobility;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pfn::{Pfn, PfnRange};
use crate::platform::Platform;

/// The kernel does not want it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Veto;

impl fmt::Display for Veto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel refused")
    }
}

impl core::error::Error for Veto {}

/// What the kernel is told about ranges that come and go, and what it may refuse. All methods do nothing by default.
pub trait HotplugNotifier {
    /// The range is isolated and about to be emptied. The last word against it is here.
    ///
    /// # Errors
    ///
    /// [`Veto`] undoes the isolation; nothing has happened then.
    fn going_offline(&self, _range: PfnRange) -> Result<(), Veto> {
        Ok(())
    }

    /// The range was going offline but does not.
    fn cancel_offline(&self, _range: PfnRange) {}

    /// The range is offline: nobody owns a frame of it, and nobody will.
    fn offline(&self, _range: PfnRange) {}

    /// The range is about to be managed again.
    ///
    /// # Errors
    ///
    /// [`Veto`] leaves it offline.
    fn going_online(&self, _range: PfnRange) -> Result<(), Veto> {
        Ok(())
    }

    /// The range is managed again.
    fn online(&self, _range: PfnRange) {}
}

/// Has no objections.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNotifier;

impl HotplugNotifier for NoNotifier {}

/// Why a range did not go offline or online. It is as it was, but for pages that have moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HotplugError {
    /// The range does not start and end at pageblocks.
    Unaligned {
        /// What was given.
        range: PfnRange,
        /// The order of a pageblock.
        pageblock: Order,
    },
    /// The range makes no sense.
    Range(RangeError),
    /// The kernel refused.
    Vetoed {
        /// What was given.
        range: PfnRange,
    },
    /// The range could not be isolated or emptied.
    Contig(ContigError),
    /// A frame to be brought online is not offline.
    NotOffline {
        /// The first such frame.
        pfn: Pfn,
        /// What it is.
        kind: FrameKind,
    },
}

impl fmt::Display for HotplugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaligned { range, pageblock } => {
                write!(f, "{range} is not whole pageblocks of {pageblock}")
            }
            Self::Range(error) => error.fmt(f),
            Self::Vetoed { range } => write!(f, "the kernel keeps {range}"),
            Self::Contig(error) => error.fmt(f),
            Self::NotOffline { pfn, kind } => write!(f, "{pfn} is not offline: it is {kind}"),
        }
    }
}

impl core::error::Error for HotplugError {}

impl From<RangeError> for HotplugError {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

impl From<ContigError> for HotplugError {
    fn from(error: ContigError) -> Self {
        Self::Contig(error)
    }
}

/// A range that is offline. Bring it back with [`PageAllocator::online`]; dropping this leaves it offline.
#[must_use = "the range stays offline until it is brought online"]
#[derive(PartialEq, Eq, Debug)]
pub struct OfflineRange {
    range: PfnRange,
}

impl OfflineRange {
    /// The frames.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }
}

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    fn check_blocks(range: PfnRange) -> Result<(), HotplugError> {
        let order = G::PAGEBLOCK_ORDER;
        if order.is_aligned(range.start()) && order.is_aligned(range.end()) {
            Ok(())
        } else {
            Err(HotplugError::Unaligned { range, pageblock: order })
        }
    }

    /// Takes whole pageblocks out of use, after moving away who is there. Returns what it took as well.
    ///
    /// Any CPU, several at a time; not from interrupt handlers.
    ///
    /// # Errors
    ///
    /// See [`HotplugError`].
    pub fn offline(
        &self,
        range: PfnRange,
        migrate: &impl Migrate,
        notifier: &impl HotplugNotifier,
        options: ContigOptions,
    ) -> Result<(OfflineRange, ContigStats), HotplugError> {
        Self::check_blocks(range)?;
        let mut isolated = self.isolate(range).map_err(ContigError::Isolate)?;
        if notifier.going_offline(range).is_err() {
            return Err(HotplugError::Vetoed { range });
        }
        let mut stats = ContigStats::default();
        match self.empty(&mut isolated, migrate, options, &mut stats) {
            Ok(free) => free.take(Taken::Offline),
            Err(error) => {
                drop(isolated);
                notifier.cancel_offline(range);
                return Err(error.into());
            }
        }
        drop(isolated);
        self.recalculate();
        notifier.offline(range);
        Ok((OfflineRange { range }, stats))
    }

    /// Brings a range back into use, all of it free.
    ///
    /// Any CPU, several at a time; not from interrupt handlers.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Vetoed`]; the range is handed back.
    pub fn online(
        &self,
        offline: OfflineRange,
        notifier: &impl HotplugNotifier,
    ) -> Result<(), (OfflineRange, HotplugError)> {
        let range = offline.range;
        if notifier.going_online(range).is_err() {
            return Err((offline, HotplugError::Vetoed { range }));
        }
        match self.online_raw(range) {
            Ok(()) => {
                notifier.online(range);
                Ok(())
            }
            Err(error) => Err((offline, error)),
        }
    }

    /// Brings whole pageblocks back into use by number. Nobody is asked.
    ///
    /// Any CPU; not from interrupt handlers. Holds the zone's lock for the whole range, whose blocks it looks at one by one.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Unaligned`], [`HotplugError::Range`], [`HotplugError::NotOffline`].
    pub fn online_raw(&self, range: PfnRange) -> Result<(), HotplugError> {
        Self::check_blocks(range)?;
        let zone = self.zone_of_span(range)?;
        let mem = self.mem();
        self.in_zone(zone, |inner| {
            let mut pfn = range.start();
            while pfn < range.end() {
                match mem.frames.head_of(pfn, G::MAX_ORDER) {
                    Some((head, state)) if state.is(FrameKind::Offline) => {
                        pfn = state.order().block(head).end()
                    }
                    _ => return Err(HotplugError::NotOffline { pfn, kind: mem.frames.state(pfn).kind() }),
                }
            }
            inner.buddy.put_online(mem, range);
            Ok(())
        })?;
        self.recalculate();
        Ok(())
    }

    /// Every frame that would be in the way of taking `range` offline now: calls `report` with each, and says how many
    /// pages would have to move. Changes nothing; any CPU, any context but interrupt handlers.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Unaligned`], [`HotplugError::Range`].
    pub fn offline_dry_run(
        &self,
        range: PfnRange,
        mut report: impl FnMut(NotFree),
    ) -> Result<usize, HotplugError> {
        Self::check_blocks(range)?;
        self.zone_of_range(range)?;
        let (mut pfn, mut to_move) = (range.start(), 0);
        while pfn < range.end() {
            let Some((head, state)) = self.mem().frames.head_of(pfn, G::MAX_ORDER) else {
                pfn = pfn.up(1);
                continue;
            };
            match state.kind() {
                FrameKind::Allocated if state.mobility() == Mobility::Movable => {
                    to_move += state.order().pages()
                }
                FrameKind::Free | FrameKind::Cached | FrameKind::Guard => {}
                _ => report(NotFree { pfn: head, reason: reason_for(state) }),
            }
            pfn = state.order().block(head).end();
        }
        Ok(to_move)
    }
}
