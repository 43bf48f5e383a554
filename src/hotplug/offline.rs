//! Takes whole pageblocks offline, and online again (`offline_pages`, `online_pages` in Linux).
//!
//! To go offline is to isolate, migrate and test a range as for a contiguous allocation, except
//! that a [`HotplugNotifier`] may refuse, and that the frames become offline instead of allocated:
//! they are no longer managed, and watermarks and reserves are recalculated. The number of attempts
//! is bounded. A dry run reports which frames would not become free.

use crate::base::{FrameKind, Geometry, Migrate, Mobility, NotFree, Pageblock, PfnRange, Platform};
use crate::buddy::Taken;
use crate::contig::{ContigError, ContigOptions, ContigStats, evacuate};
use crate::hotplug::error::HotplugError;
use crate::hotplug::notifier::HotplugNotifier;
use crate::isolation::{IsolatedRange, Purpose, obstacle_of};
use crate::page_allocator::PageAllocator;
use crate::records::{Descriptors, Found, FrameState};
use crate::zone::ZoneInner;

/// An offline range. [`PageAllocator::online`] brings it online; dropping this leaves it offline.
#[must_use = "the range stays offline until it is brought online"]
#[derive(PartialEq, Eq, Debug)]
pub struct OfflineRange {
    range: PfnRange,
}

impl OfflineRange {
    /// The frames of the range.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }
}

fn check_aligned<G: Geometry>(range: PfnRange) -> Result<(), HotplugError> {
    let order = G::PAGEBLOCK_ORDER;
    if order.is_aligned(range.start()) && order.is_aligned(range.end()) {
        Ok(())
    } else {
        Err(HotplugError::Unaligned { range, pageblock: order })
    }
}

pub(crate) fn offline<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    migrate: &impl Migrate,
    notifier: &impl HotplugNotifier,
    options: ContigOptions,
) -> Result<(OfflineRange, ContigStats), HotplugError> {
    check_aligned::<G>(range)?;
    let mut isolated =
        IsolatedRange::new(allocator, range, Purpose::Offline).map_err(ContigError::Isolate)?;
    if notifier.going_offline(range).is_err() {
        return Err(HotplugError::Vetoed { range });
    }
    let mut stats = ContigStats::default();
    match evacuate(allocator, &mut isolated, migrate, options, &mut stats) {
        Ok(free) => free.take(Taken::Offline),
        Err(error) => {
            drop(isolated);
            notifier.cancel_offline(range);
            return Err(error.into());
        }
    }
    drop(isolated);
    allocator.recalculate();
    notifier.offline(range);
    Ok((OfflineRange { range }, stats))
}

pub(crate) fn online<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    offline: OfflineRange,
    notifier: &impl HotplugNotifier,
) -> Result<(), (OfflineRange, HotplugError)> {
    let range = offline.range;
    if notifier.going_online(range).is_err() {
        return Err((offline, HotplugError::Vetoed { range }));
    }
    match online_raw(allocator, range) {
        Ok(()) => {
            notifier.online(range);
            Ok(())
        }
        Err(error) => Err((offline, error)),
    }
}

pub(crate) fn online_raw<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<(), HotplugError> {
    with_offline(allocator, range, |desc, inner, part| inner.buddy.put_online(desc, part))?;
    allocator.recalculate();
    Ok(())
}

pub(crate) fn remove_memory<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<(), HotplugError> {
    with_offline(allocator, range, |desc, inner, part| {
        inner.buddy.remove_offline(desc, part);
        inner.buddy.release_guards_beside(desc, part);
        inner.present -= part.len();
    })
}

/// Runs `change` with each part of `range` and the zone locked, after checking that all of it is
/// offline. It stays so, unless another call is made for the same frames.
fn with_offline<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    mut change: impl FnMut(&Descriptors<'_, G>, &mut ZoneInner<G>, PfnRange),
) -> Result<(), HotplugError> {
    check_aligned::<G>(range)?;
    let zone = allocator.zone_of_span(range)?;
    let desc = allocator.desc();
    check_offline(desc, range)?;
    for part in Pageblock::parts::<G>(range) {
        allocator.in_zone(zone, |inner| {
            check_offline(desc, part)?;
            change(desc, inner, part);
            Ok::<(), HotplugError>(())
        })?;
    }
    Ok(())
}

fn check_offline<G: Geometry>(desc: &Descriptors<'_, G>, range: PfnRange) -> Result<(), HotplugError> {
    let is_offline = |state: FrameState| matches!(state.kind(), FrameKind::Offline | FrameKind::HwPoison);
    let mut blocks = desc.frames.blocks(range, G::MAX_ORDER);
    match blocks.find(|found| !found.block.is_some_and(|(_, state)| is_offline(state))) {
        Some(Found { pfn, .. }) => Err(HotplugError::NotOffline { pfn, kind: desc.frames.state(pfn).kind() }),
        None => Ok(()),
    }
}

pub(crate) fn offline_dry_run<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    mut report: impl FnMut(NotFree),
) -> Result<usize, HotplugError> {
    check_aligned::<G>(range)?;
    let zone = allocator.zone_of_range(range)?;
    let (mut pfn, mut to_migrate) = (range.start(), 0);
    while pfn < range.end() {
        let Some((head, state)) = allocator.desc().frames.head_of(pfn, G::MAX_ORDER) else {
            pfn = allocator.deferred_at(zone, pfn).map_or(pfn.up(1), PfnRange::end);
            continue;
        };
        match state.kind() {
            FrameKind::Allocated if state.mobility() == Mobility::Movable => {
                to_migrate += state.order().pages();
            }
            FrameKind::Free
            | FrameKind::Cached
            | FrameKind::Guard
            | FrameKind::HwPoison
            | FrameKind::Reporting => {}
            _ => report(NotFree { pfn: head, reason: obstacle_of(state) }),
        }
        pfn = state.order().block(head).end();
    }
    Ok(to_migrate)
}
