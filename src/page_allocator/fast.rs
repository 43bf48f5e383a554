//! The fast paths: one pcplist of this CPU.
//!
//! In [owner-only](crate::PcpAccess::owner_only) mode they take no lock and consist of a few plain
//! loads and stores. In all other cases than the common one (an empty or full list, revoked access,
//! a pageblock that is isolated, a block that is not allocated at this order) they change nothing,
//! and the caller takes the slow path. [`pcp`](crate::pcp) has the argument why they are safe.

#![expect(unsafe_code, reason = "an owner-only platform promises that CPU numbers are in range")]

use crate::base::{AllocRequest, Geometry, Order, Pfn, Platform};
use crate::page_allocator::allocator::PageAllocator;
use crate::pcp::{CpuLists, ListId};
use crate::records::{FrameRecord, FrameState};

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Runs `f` with access to this CPU's lists; `None` in an interrupt handler that interrupted an
    /// access, or if `f` returns it. `f` must check whether the lists are revoked.
    pub(super) fn with_own_lists<R>(&self, f: impl FnOnce(&CpuLists<'m>) -> Option<R>) -> Option<R> {
        if P::PCP_ACCESS.is_owner_only() {
            let lists = self.own_lists();
            let _inside = lists.access.enter()?;
            f(lists)
        } else {
            self.with_locked_lists(f)
        }
    }

    #[inline(always)]
    fn own_lists(&self) -> &'m CpuLists<'m> {
        let cpu = self.platform().current_cpu().number();
        debug_assert!(cpu < self.lists().len(), "CPU {cpu} is not below the CPU count of the construction");
        // SAFETY: an owner-only platform promises that CPU numbers are below the CPU count.
        unsafe { self.lists().get_unchecked(cpu) }
    }

    #[inline]
    fn with_locked_lists<R>(&self, f: impl FnOnce(&CpuLists<'m>) -> Option<R>) -> Option<R> {
        self.platform().without_interrupts(|| {
            let cpu = self.platform().current_cpu().number();
            let lists = self.lists().get(cpu).unwrap_or_else(|| &self.lists()[cpu % self.lists().len()]);
            let _locked = lists.access.lock();
            f(lists)
        })
    }

    /// Allocates a block from a pcplist of this CPU; `None` if the slow path must do it.
    #[inline(always)]
    pub(super) fn alloc_fast(&self, request: AllocRequest) -> Option<Pfn> {
        let id = ListId::new::<G>(request.order, self.first_slot(request.highest_zone, request.mobility))?;
        // Before the access, so that it is a constant if the request is one.
        let state = FrameState::allocated_for(&request);
        // Not with `with_own_lists`, because the compiler might not inline the closure.
        if P::PCP_ACCESS.is_owner_only() {
            let lists = self.own_lists();
            let _inside = lists.access.enter()?;
            self.alloc_from(lists, id, state, &request)
        } else {
            self.with_locked_lists(|lists| self.alloc_from(lists, id, state, &request))
        }
    }

    #[inline(always)]
    fn alloc_from(
        &self,
        lists: &CpuLists<'m>,
        id: ListId,
        state: FrameState,
        request: &AllocRequest,
    ) -> Option<Pfn> {
        let (frames, sites) = (&self.desc().frames, &self.desc().sites);
        if id.has_hot_slot()
            && let Some(index) = lists.hottest_unless_revoked(id)
        {
            let frame = frames.record(index)?;
            if frame.state() != lists.cached_state(id.order()) {
                return None;
            }
            lists.clear_hottest(id);
            // SAFETY: all indices on lists come from the table.
            unsafe { sites.set_unchecked(index, request.site) };
            frame.set_allocated(state, request.owner);
            return Some(frames.pfn(index));
        }
        let index = lists.pop_unless_revoked(id)?;
        // SAFETY: all indices on lists come from the table.
        let frame = unsafe { frames.record_unchecked(index) };
        if frame.state() != lists.cached_state(id.order()) {
            // A stale entry, which is dropped: see `pcp::cpu_lists`.
            return None;
        }
        // SAFETY: as above.
        unsafe { sites.set_unchecked(index, request.site) };
        frame.set_allocated(state, request.owner);
        Some(frames.pfn(index))
    }

    /// Frees a block of `order` to a pcplist of this CPU. `None` if the slow path must free or
    /// refuse it; nothing has changed then.
    #[inline(always)]
    pub(super) fn free_fast(&self, pfn: Pfn, order: Order) -> Option<()> {
        if self.desc().faults.needs_slow_path() {
            return None;
        }
        if P::PCP_ACCESS.is_owner_only() {
            let lists = self.own_lists();
            let _inside = lists.access.enter()?;
            self.free_into(lists, pfn, order)
        } else {
            self.with_locked_lists(|lists| self.free_into(lists, pfn, order))
        }
    }

    #[inline(always)]
    fn free_into(&self, lists: &CpuLists<'m>, pfn: Pfn, order: Order) -> Option<()> {
        let frames = &self.desc().frames;
        let index = frames.checked_index_of(pfn)?;
        // SAFETY: the index comes from the table.
        let frame = unsafe { frames.record_unchecked(index) };
        // Read with access to the lists: after the drain of an isolation no such block is cached.
        // SAFETY: as above.
        let slot = unsafe { self.desc().pageblocks.pcp_slot(index) }?;
        let id = ListId::new::<G>(order, slot)?;
        let state = frame.state();
        if !state.is_freeable(order) {
            return None;
        }
        if !id.has_hot_slot() {
            let entry = lists.free_entry_unless_revoked(id)?;
            Self::mark_cached(frame, state, lists.cached_state(order))?;
            lists.fill(entry, index);
            return Some(());
        }
        let hottest = lists.read_hottest(id);
        if hottest.is_empty() {
            Self::mark_cached(frame, state, lists.cached_state(order))?;
        } else {
            let second = hottest.block()?;
            let entry = lists.free_entry_for(second, id)?;
            Self::mark_cached(frame, state, lists.cached_state(order))?;
            lists.fill(entry, second);
        }
        lists.set_hottest(id, index);
        Some(())
    }

    /// Changes the state of a block from allocated to cached. [`pcp`](crate::pcp) has the argument
    /// why a plain store is enough in owner-only mode.
    #[inline(always)]
    fn mark_cached(frame: FrameRecord<'_>, from: FrameState, to: FrameState) -> Option<()> {
        if P::PCP_ACCESS.is_owner_only() {
            frame.set_state(to);
            return Some(());
        }
        frame.exchange(from, to).ok()
    }
}
