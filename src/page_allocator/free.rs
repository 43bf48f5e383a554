//! Frees blocks by frame number: to a pcplist of this CPU, or to the zone.
//!
//! A block goes to the zone if it must not be cached (its pageblock is isolated or high-atomic, its
//! order is above the pageblock order, it has a bad frame, or the pcplist is disabled) or if there
//! is no access to the pcplist now. The owner gives the block up with one atomic exchange of its
//! state, made with access to the pcplist or with the zone locked. Of two frees of one block, or a
//! free and a migration, one exchange succeeds; the other caller reads the new state and acts on
//! that.

use crate::base::{FrameKind, FreeKind, Geometry, Order, PcpSlot, Pfn, Platform, TraceEvent};
use crate::buddy::FreeBlock;
use crate::instruments::{Faults, StaleKind};
use crate::page_allocator::allocator::PageAllocator;
use crate::page_allocator::free_error::{FreeBulkError, FreeError};
use crate::page_allocator::owner::check_owned;
use crate::pcp::{CpuLists, ListId};
use crate::records::{FrameState, Migration};
use crate::sync::Ordering;
use crate::zone::{Zone, ZoneInner};

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Frees a block that was allocated with [`alloc_pages`](Self::alloc_pages) at this order.
    ///
    /// Any CPU, not only the one that allocated it; also in interrupt handlers.
    ///
    /// # Errors
    ///
    /// See [`FreeError`]. Nothing has changed then.
    #[cfg_attr(not(debug_assertions), inline(always))] // without optimisation a caller's frame grows
    pub fn free_pages(&self, pfn: Pfn, order: Order) -> Result<(), FreeError> {
        if self.free_fast(pfn, order).is_some() {
            return Ok(());
        }
        let mut result = Ok(());
        self.free_slow(pfn, order, &mut result);
        result
    }

    /// Frees blocks that were each allocated at this order, in order.
    ///
    /// As [`free_pages`](Self::free_pages) for each. The pcplists are entered once for up to 64
    /// blocks, for which time interrupts are masked in the default mode.
    ///
    /// # Errors
    ///
    /// [`FreeBulkError`] at the first block that is refused. The blocks before it have been freed;
    /// it and those after it are unchanged.
    pub fn free_bulk(&self, blocks: &[Pfn], order: Order) -> Result<(), FreeBulkError> {
        let mut freed = 0;
        while let Some((first, _)) = blocks.get(freed..).and_then(<[Pfn]>::split_first) {
            freed += match self.free_run(&blocks[freed..], order) {
                0 => match self.free_pages(*first, order) {
                    Ok(()) => 1,
                    Err(error) => return Err(FreeBulkError { freed, error }),
                },
                run => run,
            };
        }
        Ok(())
    }

    /// The slow path: validates the block, then frees it to a pcplist or to the zone. The result is
    /// stored through the last argument, so that the others stay in the registers of the caller.
    #[cold]
    #[inline(never)]
    fn free_slow(&self, pfn: Pfn, order: Order, result: &mut Result<(), FreeError>) {
        let extents = self.desc().frames.extents();
        if !extents.is_front(pfn) && self.free_elsewhere(pfn, order).is_some() {
            *result = Ok(());
            return;
        }
        let freed = match extents.index_of(pfn) {
            Some(_) => self.free_owned(self.zone_of(pfn), pfn, order),
            None => Err(FreeError::Foreign { pfn }),
        };
        *result = freed.map_err(|error| self.count_refused(error));
    }

    /// Frees a block after checking that it is allocated at this order.
    fn free_owned(&self, zone: &Zone<G>, pfn: Pfn, order: Order) -> Result<(), FreeError> {
        let frames = &self.desc().frames;
        loop {
            let state = frames.state(pfn);
            check_owned::<G>(self.desc(), pfn, order, state)?;
            match state.migration() {
                Migration::None => {}
                Migration::Moving => {
                    // The migration reads this when it ends, and frees the block.
                    match frames.exchange(pfn, state, state.with_migration(Migration::Freed)) {
                        Ok(()) => return Ok(()),
                        Err(_) => continue,
                    }
                }
                Migration::Freed => return Err(FreeError::DoubleFree { pfn }),
            }
            if self.free_to_pcp(zone, pfn, state) || self.free_to_zone(zone, pfn, state) {
                return Ok(());
            }
        }
    }

    /// Frees a block that the caller has pinned and that has no owner any more. It goes from pinned
    /// to free in one step: otherwise another migration could pick it, and fail.
    pub(crate) fn free_pinned(&self, pfn: Pfn) {
        let zone = self.zone_of(pfn);
        loop {
            let state = self.desc().frames.state(pfn);
            if !state.is(FrameKind::Allocated) {
                debug_assert!(false, "{pfn} should be pinned by this call, but is {state:?}");
                return;
            }
            if self.free_to_pcp(zone, pfn, state) || self.free_to_zone(zone, pfn, state) {
                return;
            }
        }
    }

    /// Frees the block to a pcplist of this CPU. Returns false if it must not be cached (as one
    /// with a bad frame), if there is no access to the pcplist, or if its state is no longer
    /// `state`.
    fn free_to_pcp(&self, zone: &Zone<G>, pfn: Pfn, state: FrameState) -> bool {
        let desc = self.desc();
        if desc.faults.is_on(Faults::STALE_NORMAL) || state.has_bad() {
            return false;
        }
        let stale = desc.faults.read_before_pcp_lock(|| desc.kind(pfn));
        let Some(access) = self.own_lists() else {
            return false;
        };
        let lists = access.lists;
        // Read with access to the lists: after the drain of an isolation no such block is cached.
        let kind = stale.map_or_else(|| desc.kind(pfn), |StaleKind(kind)| kind);
        let FreeKind::Listed(migratetype) = kind else {
            return false;
        };
        let mobility = migratetype.cached_as().filter(|_| !desc.pageblocks.is_isolating(pfn));
        let slot = mobility.map(|mobility| PcpSlot::new(zone.kind(), mobility));
        let id = slot.and_then(|slot| ListId::new::<G>(state.order(), slot));
        // The check of the limit saves work only: a list of limit 0 refuses the push below.
        let Some(id) = id.filter(|id| lists.limit(*id) > 0) else {
            return false;
        };
        if desc.frames.exchange(pfn, state, lists.cached_state(state.order())).is_err() {
            return false;
        }
        lists.open(id);
        if lists.len(id) >= lists.limit(id) && !self.give_batch(lists, id) {
            self.spill(zone, lists, id);
        }
        if !lists.push(id, desc.frames.index_of(pfn)) {
            // Memory has left the zone, and the limit is now lower by more than a batch.
            let block = [desc.frames.index_of(pfn)];
            self.in_zone(zone, |inner| {
                let pages = self.return_to_buddy(inner, lists, id, block.iter().copied());
                inner.buddy.events_mut().spill_pages += pages;
            });
        }
        true
    }

    /// Frees a batch of the coldest blocks of a list to the zone.
    pub(super) fn spill(&self, zone: &Zone<G>, lists: &CpuLists<'m>, id: ListId) {
        self.spill_and(zone, lists, id, |_| ());
    }

    /// As [`spill`](Self::spill), then runs `f` in the same hold of the zone's lock.
    #[inline]
    pub(super) fn spill_and<R>(
        &self,
        zone: &Zone<G>,
        lists: &CpuLists<'m>,
        id: ListId,
        f: impl FnOnce(&mut ZoneInner<G>) -> R,
    ) -> R {
        let (count, result) = self.in_zone(zone, |inner| {
            let count = inner.limits.batch_of(id.order());
            let pages = self.return_to_buddy(inner, lists, id, lists.coldest(id, count));
            let events = inner.buddy.events_mut();
            events.spills += 1;
            events.spill_pages += pages;
            (count, f(inner))
        });
        lists.remove_coldest(id, count);
        result
    }

    /// Frees the block to the zone. Returns false if its state is no longer `state`.
    fn free_to_zone(&self, zone: &Zone<G>, pfn: Pfn, state: FrameState) -> bool {
        let desc = self.desc();
        let stale = desc.faults.read_before_zone_lock(|| desc.kind(pfn));
        self.in_zone(zone, |inner| {
            if desc.frames.exchange(pfn, state, state.as_tail()).is_err() {
                return false;
            }
            desc.sites.mark_old(desc.frames.index_of(pfn));
            if state.has_bad() {
                inner.buddy.free_except_bad(desc, state.order().block(pfn));
            } else {
                desc.poison.fill(state.order().block(pfn));
                let block = FreeBlock::from_owner(pfn, state.order());
                inner.buddy.free_with_stale_kind(desc, block, stale);
            }
            desc.trace.emit(|| TraceEvent::ZoneFree { pfn, order: state.order() });
            let events = inner.buddy.events_mut();
            events.frees += 1;
            events.free_pages += state.order().pages() as u64;
            true
        })
    }

    /// Logs a refused free, which is counted already, for callers that cannot return the error,
    /// such as `drop`.
    pub(crate) fn log_refused_free(&self, pfn: Pfn, result: Result<(), FreeError>) {
        if let Err(error) = result
            && let Some(number) = self.diagnostics.unreported_frees.count()
        {
            let site = self.desc().site(pfn).last_allocated();
            log::error!("{pfn} was not freed: {error}{site} (refused so far: {number})");
        }
    }

    /// Counts a refused free, and returns its error.
    #[cold]
    pub(crate) fn count_refused(&self, error: FreeError) -> FreeError {
        self.diagnostics.refused_frees.fetch_add(1, Ordering::Relaxed);
        error
    }
}
