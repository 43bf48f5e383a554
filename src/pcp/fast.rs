//! The way through for nearly every call: one list of one CPU, a few plain loads and stores.
//!
//! Nothing here takes a lock in [owner-only](crate::PcpAccess::owner_only) mode, formats, waits or fails: whatever is not the common
//! case (an empty list, a full one, a shut gate, an isolated pageblock, a block that is not what the caller says) is left as it was, and
//! the caller goes round by the [`zone`](crate::zone). Neighbours: [`gate`](super::gate) for why this is safe.

#![expect(unsafe_code, reason = "takes the platform at its word about the number of this CPU")]

use super::{CpuLists, ListId};
use crate::faults::takes_slow_path;
use crate::frame::KnownFrame;
use crate::frame::state::FrameState;
use crate::geometry::Geometry;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pfn::Pfn;
use crate::platform::Platform;
use crate::request::AllocRequest;

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Runs `f` with this CPU's lists if it can get at them now: not if an interrupt handler came while its CPU was there.
    /// That they are not shut `f` must see for itself.
    pub(crate) fn with_own_lists<R>(&self, f: impl FnOnce(&CpuLists<'m>) -> Option<R>) -> Option<R> {
        if P::PCP_ACCESS.is_owner_only() {
            let lists = self.lists_of_owner();
            let _inside = lists.gate.enter()?;
            f(lists)
        } else {
            self.with_locked_lists(f)
        }
    }

    /// The lists of this CPU, which is their owner, in owner-only mode.
    #[inline(always)]
    fn lists_of_owner(&self) -> &'m CpuLists<'m> {
        let cpu = self.platform().current_cpu().number();
        debug_assert!(cpu < self.lists().len(), "CPU {cpu} was not counted at construction");
        // SAFETY: whoever made the platform owner-only promised that CPU numbers are below the count given at construction.
        unsafe { self.lists().get_unchecked(cpu) }
    }

    #[inline]
    fn with_locked_lists<R>(&self, f: impl FnOnce(&CpuLists<'m>) -> Option<R>) -> Option<R> {
        self.platform().without_interrupts(|| {
            let cpu = self.platform().current_cpu().number();
            let lists = self.lists().get(cpu).unwrap_or_else(|| &self.lists()[cpu % self.lists().len()]);
            let _locked = lists.gate.lock();
            f(lists)
        })
    }

    /// A block from this CPU's list for the request, or `None` if there is none at hand.
    #[inline(always)]
    pub(crate) fn take_at_hand(&self, request: AllocRequest) -> Option<Pfn> {
        let id = ListId::new::<G>(request.order, self.first_slot(request.highest_zone, request.mobility))?;
        // Not by way of `with_own_lists`: a closure is only inlined if the compiler thinks so.
        if P::PCP_ACCESS.is_owner_only() {
            let lists = self.lists_of_owner();
            let _inside = lists.gate.enter()?;
            self.take_inside(lists, id, request)
        } else {
            self.with_locked_lists(|lists| self.take_inside(lists, id, request))
        }
    }

    #[inline(always)]
    fn take_inside(&self, lists: &CpuLists<'m>, id: ListId, request: AllocRequest) -> Option<Pfn> {
        let frames = &self.mem().frames;
        if id.has_front()
            && let Some(index) = lists.hottest(id)
        {
            let frame = frames.at(index)?;
            if frame.state() != lists.cached(request.order) {
                return None;
            }
            lists.take_hottest(id);
            frame.hand_out(request.state(), request.owner);
            return Some(frames.pfn(index));
        }
        let index = lists.pop(id)?;
        // SAFETY: what is on a list is an index that the table gave.
        let frame = unsafe { frames.known(index) };
        if frame.state() != lists.cached(request.order) {
            // Freed twice at once: it is on another list, or in use again. This entry is forgotten.
            return None;
        }
        frame.hand_out(request.state(), request.owner);
        Some(frames.pfn(index))
    }

    /// Puts a block of `order` that is the caller's on this CPU's list. `None` if that cannot be done right here, or if it is not the
    /// caller's: nothing has changed then.
    #[inline(always)]
    pub(crate) fn put_at_hand(&self, pfn: Pfn, order: Order) -> Option<()> {
        if takes_slow_path!(self.mem()) {
            return None;
        }
        if P::PCP_ACCESS.is_owner_only() {
            let lists = self.lists_of_owner();
            let _inside = lists.gate.enter()?;
            self.put_inside(lists, pfn, order)
        } else {
            self.with_locked_lists(|lists| self.put_inside(lists, pfn, order))
        }
    }

    #[inline(always)]
    fn put_inside(&self, lists: &CpuLists<'m>, pfn: Pfn, order: Order) -> Option<()> {
        let frames = &self.mem().frames;
        let index = frames.index_of(pfn)?;
        // SAFETY: the table has just given it.
        let frame = unsafe { frames.known(index) };
        // Read behind the gate: that is what makes a drain after isolation final.
        // SAFETY: as above.
        let slot = unsafe { self.mem().blocks.list_slot(index) }?;
        let id = ListId::new::<G>(order, slot)?;
        let state = frame.state();
        if !state.is_idle(order) {
            return None;
        }
        if !id.has_front() {
            let room = lists.open_room(id)?;
            Self::give_up(frame, state, lists.cached(order))?;
            lists.fill(room, index);
            return Some(());
        }
        let front = lists.front(id);
        if front.is_empty() {
            Self::give_up(frame, state, lists.cached(order))?;
        } else {
            let second = front.block()?;
            let room = lists.room_behind(second, id)?;
            Self::give_up(frame, state, lists.cached(order))?;
            lists.fill(room, second);
        }
        lists.put_hottest(id, index);
        Some(())
    }

    /// The owner's last act: what the block is from now on. [`pcp`](super) says why a plain store may do in one mode.
    #[inline(always)]
    fn give_up(frame: KnownFrame<'_>, from: FrameState, to: FrameState) -> Option<()> {
        if P::PCP_ACCESS.is_owner_only() {
            frame.set_state(to);
            return Some(());
        }
        frame.exchange(from, to).ok()
    }
}
