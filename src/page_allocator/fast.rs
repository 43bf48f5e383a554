//! The fast paths: one pcplist of this CPU.
//!
//! They consist of a few plain loads and stores. In locked mode, and only there, also of the lock
//! of the lists, which they try once, and of interrupts masked if the platform masks them. In all
//! other cases than the common one (the lock is taken, an empty or full list, revoked access, a
//! pageblock that is isolated, a block that is not allocated at this order, a frame outside the two
//! largest [extents](crate::records::Extents)) they change nothing, and the caller takes the slow
//! path. That begins with the same steps for frames of other extents, out of line.
//! [`pcp`](crate::pcp) has the argument why they are safe.
//!
//! Every instruction counts here. What saves some: the comparison with the length of the main
//! extent is the check of the access, too ([`OwnAccess::grant`]); an empty list ends with an index
//! of no frame; a pageblock whose pages must not be cached has the slot of a list that is always
//! full.
//!
//! Access is a guard and not a closure, because the compiler does not inline a closure that several
//! callers share, which more than doubles the instructions.

#![expect(unsafe_code, reason = "the fast paths check an index once")]

use crate::base::{Access, AllocRequest, Geometry, Masked, Order, Pfn, Platform};
use crate::page_allocator::allocator::PageAllocator;
use crate::pcp::{CpuLists, Grant, ListId, Newest, OwnerGuard};
use crate::records::{FrameIndex, FrameRecord, FrameState};
use crate::sync::Guard;

/// The most blocks that a bulk operation moves with one access to the lists, so that interrupts are
/// not masked for long.
const RUN: usize = 64;

/// The access of this CPU to its pcplists, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct OwnAccess<'a, 'm, P: Platform> {
    pub(super) lists: &'m CpuLists<'m>,
    /// The number of frames of the main extent, or 0 if access is revoked.
    grant: usize,
    // Dropped in this order.
    _inside: Option<OwnerGuard<'m>>,
    _lock: Option<Guard<'m, Grant>>,
    _masked: Option<Masked<'a, P>>,
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Access to this CPU's lists; `None` if it is revoked, or in an interrupt handler that
    /// interrupted an access. In locked mode it waits for the lock.
    #[inline]
    pub(super) fn own_lists(&self) -> Option<OwnAccess<'_, 'm, P>> {
        let access = if P::PCP_ACCESS.is_locked() {
            let masked = Masked::new(self.platform());
            let cpu = self.platform().current_cpu().number();
            let lists = self.lists().get(cpu).unwrap_or_else(|| &self.lists()[cpu % self.lists().len()]);
            let lock = lists.access.lock();
            let grant = lock.get();
            OwnAccess { lists, grant, _inside: None, _lock: Some(lock), _masked: Some(masked) }
        } else {
            self.try_own_lists()?
        };
        (access.grant > 0).then_some(access)
    }

    /// Access to this CPU's lists, which may be revoked; `None` if it is not to be had at once.
    #[inline(always)]
    fn try_own_lists(&self) -> Option<OwnAccess<'_, 'm, P>> {
        match P::PCP_ACCESS.mode() {
            Access::Locked => {
                let masked = Masked::new(self.platform());
                let lists = self.lists().get(self.platform().current_cpu().number())?;
                let lock = lists.access.try_lock()?;
                let grant = lock.get();
                let (lock, masked) = (Some(lock), Some(masked));
                Some(OwnAccess { lists, grant, _inside: None, _lock: lock, _masked: masked })
            }
            Access::OwnerOnly(_) => {
                let cpu = self.platform().current_cpu().number();
                debug_assert!(cpu < self.lists().len(), "CPU {cpu} is not below the CPU count");
                // SAFETY: an owner-only platform promises that CPU numbers are below the CPU count.
                let lists = unsafe { self.lists().get_unchecked(cpu) };
                let inside = Some(lists.access.enter()?);
                let grant = lists.access.grant();
                Some(OwnAccess { lists, grant, _inside: inside, _lock: None, _masked: None })
            }
            Access::SingleThreaded => {
                let lists = self.lists().first()?;
                let grant = lists.access.grant();
                Some(OwnAccess { lists, grant, _inside: None, _lock: None, _masked: None })
            }
        }
    }

    /// Allocates a block from a pcplist of this CPU; `None` if the slow path must do it.
    #[inline(always)]
    pub(super) fn alloc_fast(&self, request: AllocRequest) -> Option<Pfn> {
        self.alloc_from::<true>(&request)
    }

    /// As [`alloc_fast`](Self::alloc_fast), for a block outside the front.
    #[inline(never)]
    pub(super) fn alloc_elsewhere(&self, request: &AllocRequest) -> Option<Pfn> {
        self.alloc_from::<false>(request)
    }

    /// Allocates the newest block of a list; `None` if `FRONT` and it is not in the front.
    #[inline(always)]
    fn alloc_from<const FRONT: bool>(&self, request: &AllocRequest) -> Option<Pfn> {
        let id = ListId::new::<G>(request.order, self.choice.slot(request.highest_zone, request.mobility))?;
        // Before the access, so that it is a constant if the request is one.
        let state = FrameState::allocated_for(request);
        let access = self.try_own_lists()?;
        self.pop_allocated::<FRONT>(&access, id, state, request)
    }

    /// Allocates blocks from a pcplist of this CPU, up to [`RUN`], with one access to it. Returns
    /// their number.
    pub(super) fn alloc_run(&self, request: AllocRequest, blocks: &mut [Pfn]) -> usize {
        let slot = self.choice.slot(request.highest_zone, request.mobility);
        let (Some(id), Some(access)) = (ListId::new::<G>(request.order, slot), self.try_own_lists()) else {
            return 0;
        };
        let state = FrameState::allocated_for(&request);
        let mut taken = 0;
        for block in blocks.iter_mut().take(RUN) {
            let Some(pfn) = self.pop_allocated::<true>(&access, id, state, &request) else {
                break;
            };
            *block = pfn;
            taken += 1;
        }
        taken
    }

    #[inline(always)]
    fn pop_allocated<const FRONT: bool>(
        &self,
        access: &OwnAccess<'_, 'm, P>,
        id: ListId,
        state: FrameState,
        request: &AllocRequest,
    ) -> Option<Pfn> {
        let (lists, frames) = (access.lists, &self.desc().frames);
        let newest = lists.newest_block(id);
        let index = newest.index;
        // There is no record if the list is empty or access is revoked.
        if FRONT {
            // SAFETY: the grant is the length of the main extent, or 0.
            if let Some(frame) = unsafe { frames.main_record(index, access.grant) } {
                self.take_newest::<FRONT>(lists, newest, frame, state, request)?;
                return Some(frames.main_pfn(index));
            }
            if access.grant > 0
                && let Some(frame) = frames.second_record(index)
            {
                self.take_newest::<FRONT>(lists, newest, frame, state, request)?;
                return Some(frames.second_pfn(index));
            }
        } else if access.grant > 0
            && let Some(frame) = frames.record(index)
        {
            self.take_newest::<FRONT>(lists, newest, frame, state, request)?;
            return Some(frames.pfn(index));
        }
        None
    }

    /// Allocates the newest block of a list, which has this record. `None` if the entry is stale.
    #[inline(always)]
    fn take_newest<const FRONT: bool>(
        &self,
        lists: &CpuLists<'m>,
        newest: Newest,
        frame: FrameRecord<'m>,
        state: FrameState,
        request: &AllocRequest,
    ) -> Option<()> {
        if Self::may_be_stale() && !lists.is_cached_here(frame.state(), request.order) {
            return None;
        }
        lists.remove_newest(newest);
        if FRONT {
            // SAFETY: an index with a record of the front is that of a frame of boot.
            unsafe { self.desc().sites.set_boot(newest.index, request.site) };
        } else {
            self.desc().sites.set(newest.index, request.site);
        }
        frame.set_allocated(state, request.owner);
        Some(())
    }

    /// The index of a frame and its record; `None` if access is revoked, or if `FRONT` and it is
    /// not in the front.
    #[inline(always)]
    fn index_and_record<const FRONT: bool>(
        &self,
        access: &OwnAccess<'_, 'm, P>,
        pfn: Pfn,
    ) -> Option<(usize, FrameRecord<'m>)> {
        let frames = &self.desc().frames;
        if FRONT {
            // SAFETY: the grant is the length of the main extent, or 0.
            return unsafe { frames.front_index_and_record(pfn, access.grant) };
        }
        if access.grant == 0 {
            return None;
        }
        let index = frames.checked_index_of(pfn)?;
        Some((index.number() as usize, frames.record(index)?))
    }

    /// Whether a list may have stale entries. Only two frees that overlap in time leave them, and
    /// only if a free changes the state of its block with a plain store.
    #[inline(always)]
    const fn may_be_stale() -> bool {
        P::PCP_ACCESS.is_owner_only() || cfg!(any(feature = "faults", feature = "designs"))
    }

    /// Frees a block of `order` to a pcplist of this CPU. `None` if the slow path must free or
    /// refuse it; nothing has changed then.
    #[inline(always)]
    pub(super) fn free_fast(&self, pfn: Pfn, order: Order) -> Option<()> {
        self.free_into::<true>(pfn, order)
    }

    /// As [`free_fast`](Self::free_fast), for a block outside the front.
    #[inline(never)]
    pub(super) fn free_elsewhere(&self, pfn: Pfn, order: Order) -> Option<()> {
        self.free_into::<false>(pfn, order)
    }

    #[inline(always)]
    fn free_into<const FRONT: bool>(&self, pfn: Pfn, order: Order) -> Option<()> {
        if self.desc().faults.needs_slow_path() {
            return None;
        }
        let of_order = ListId::of_order::<G>(order)?;
        let access = self.try_own_lists()?;
        self.push_freed::<FRONT>(&access, of_order, pfn, order, || access.lists.cached_state(order))
    }

    /// Frees blocks of `order` to pcplists of this CPU, up to [`RUN`], with one access to them.
    /// Returns the number of blocks up to the first that the slow path must free or refuse.
    pub(super) fn free_run(&self, blocks: &[Pfn], order: Order) -> usize {
        if self.desc().faults.needs_slow_path() {
            return 0;
        }
        let (Some(of_order), Some(access)) = (ListId::of_order::<G>(order), self.try_own_lists()) else {
            return 0;
        };
        let cached = access.lists.cached_state(order);
        let run = blocks.get(..RUN).unwrap_or(blocks);
        let refused = run
            .iter()
            .position(|pfn| self.push_freed::<true>(&access, of_order, *pfn, order, || cached).is_none());
        refused.unwrap_or(run.len())
    }

    #[inline(always)]
    fn push_freed<const FRONT: bool>(
        &self,
        access: &OwnAccess<'_, 'm, P>,
        of_order: ListId,
        pfn: Pfn,
        order: Order,
        cached: impl FnOnce() -> FrameState,
    ) -> Option<()> {
        let lists = access.lists;
        let (at, frame) = self.index_and_record::<FRONT>(access, pfn)?;
        let state = frame.state();
        if !state.is_freeable(order) {
            return None;
        }
        // The slot is read with access to the lists: after the drain of an isolation no such block
        // is cached.
        let slot = if FRONT {
            // SAFETY: this is the index of a frame of the front, which is one of boot.
            unsafe { self.desc().pageblocks.pcp_slot(at) }
        } else {
            self.desc().pageblocks.checked_pcp_slot(FrameIndex::new(at as u32))?
        };
        let id = of_order.with_slot(slot);
        // SAFETY: access is not revoked, or there would be no record.
        let entry = unsafe { lists.free_entry(id) }?;
        Self::mark_cached(frame, state, cached())?;
        lists.fill(entry, FrameIndex::new(at as u32));
        Some(())
    }

    /// Changes the state of a block from allocated to cached. [`pcp`](crate::pcp) has the argument
    /// why a plain store is enough in owner-only mode; in single-threaded mode no other code runs.
    #[inline(always)]
    fn mark_cached(frame: FrameRecord<'_>, from: FrameState, to: FrameState) -> Option<()> {
        if P::PCP_ACCESS.is_locked() {
            return frame.exchange(from, to).ok();
        }
        frame.set_state(to);
        Some(())
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use core::iter;

    use crate::base::{AllocRequest, Mobility, Order, PcpAccess, PcpSlot, Pfn, Platform, X86_64, ZoneKind};
    use crate::page_allocator::testing;
    use crate::page_allocator::{PageAllocator, Tuning};
    use crate::pcp::ListId;

    /// Owner-only, because lists have stale entries in this mode alone.
    struct OwnerOnly;
    impl Platform for OwnerOnly {
        // SAFETY: each test has a machine and a thread of its own.
        const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|_| 1) };
    }

    fn machine() -> PageAllocator<'static, OwnerOnly> {
        testing::machine(OwnerOnly, 64 << 20, Tuning::default())
    }

    /// A block of this order that is allocated, and two entries for it on the pcplist of its kind.
    fn with_stale_entries(machine: &PageAllocator<'static, OwnerOnly>, order: Order) -> (Pfn, ListId) {
        let held = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        machine.drain_all();
        // A list that was drained is closed until a free opens it.
        let other = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        machine.free_pages(other, order).unwrap();
        let id = ListId::new::<X86_64>(order, PcpSlot::new(ZoneKind::Normal, Mobility::Movable)).unwrap();
        let (lists, index) = (&machine.lists()[0], machine.desc().frames.index_of(held));
        assert!(lists.push(id, index) && lists.push(id, index));
        (held, id)
    }

    #[test]
    fn a_stale_entry_is_never_allocated() {
        for order in [Order::ZERO, Order::new(2)] {
            let machine = machine();
            let (held, _) = with_stale_entries(&machine, order);
            assert!(!machine.audit().is_exact(), "an audit reports them");
            for _ in 0..8 {
                assert_ne!(machine.alloc_pages(AllocRequest::movable().order(order)), Ok(held));
            }
            machine.drain_all();
            machine.verify().unwrap();
            machine.free_pages(held, order).unwrap();
        }
    }

    #[test]
    fn a_stale_entry_is_never_freed() {
        for order in [Order::ZERO, Order::new(2)] {
            let machine = machine();
            let (held, id) = with_stale_entries(&machine, order);
            machine.drain_all();
            assert_eq!((machine.lists()[0].len(id), machine.owner(held, order)), (0, Ok(0)));
            machine.verify().unwrap();
        }
    }

    /// All pages of a machine with three extents are allocated. Returns the first of each: of
    /// the main one, of the second one, and of the one that is not in the front.
    fn with_pages_of_three_extents() -> (PageAllocator<'static, OwnerOnly>, [Pfn; 3]) {
        const RANGES: [(u64, u64); 3] = [(4 << 30, 16 << 20), (6 << 30, 8 << 20), (8 << 30, 4 << 20)];
        let ranges = RANGES.map(|(start, len)| start..start + len);
        let machine = testing::machine_with(OwnerOnly, &ranges, Tuning::default().min_free_pages(0));
        let pages: Vec<Pfn> = iter::from_fn(|| machine.alloc_pages(AllocRequest::movable()).ok()).collect();
        assert_eq!(pages.len(), 7 << 10);
        let page_in = |(start, len)| {
            let is_inside = |pfn: &&Pfn| (start..start + len).contains(&pfn.start_address());
            *pages.iter().filter(is_inside).min().unwrap()
        };
        let firsts = RANGES.map(page_in);
        // A free opens the list.
        let other = *pages.iter().find(|pfn| !firsts.contains(pfn)).unwrap();
        machine.free_pages(other, Order::ZERO).unwrap();
        (machine, firsts)
    }

    #[test]
    fn the_fast_paths_serve_the_two_largest_extents() {
        let (machine, [main, second, other]) = with_pages_of_three_extents();
        let list =
            ListId::new::<X86_64>(Order::ZERO, PcpSlot::new(ZoneKind::Normal, Mobility::Movable)).unwrap();
        for (cached, page) in [main, second].into_iter().enumerate() {
            assert_eq!(machine.free_fast(page, Order::ZERO), Some(()));
            assert_eq!(machine.lists()[0].len(list), cached + 2);
        }
        assert_eq!(machine.alloc_fast(AllocRequest::movable()), Some(second));
        assert_eq!(machine.alloc_fast(AllocRequest::movable()), Some(main));
        assert_eq!(machine.free_fast(other, Order::ZERO), None);
        assert_eq!(machine.lists()[0].len(list), 1);
        // That is also a fast path, but out of line.
        machine.free_pages(other, Order::ZERO).unwrap();
        assert_eq!(machine.lists()[0].len(list), 2);
        assert_eq!(machine.alloc_fast(AllocRequest::movable()), None);
        assert_eq!(machine.alloc_pages(AllocRequest::movable()), Ok(other));
        // These were allocated without the place in the source that a public call passes on.
        for page in [main, second] {
            machine.free_pages(page, Order::ZERO).unwrap();
        }
        machine.verify().unwrap();
    }

    #[test]
    fn nothing_is_cached_or_taken_while_access_is_revoked() {
        let (machine, pages) = with_pages_of_three_extents();
        let revocation = machine.revoke_lists();
        for page in pages {
            assert_eq!(machine.free_fast(page, Order::ZERO), None);
            assert_eq!(machine.free_elsewhere(page, Order::ZERO), None);
        }
        drop(revocation);
        for page in pages {
            machine.free_pages(page, Order::ZERO).unwrap();
            let revocation = machine.revoke_lists();
            assert_eq!(machine.alloc_fast(AllocRequest::movable()), None);
            assert_eq!(machine.alloc_elsewhere(&AllocRequest::movable()), None);
            drop(revocation);
        }
        machine.verify().unwrap();
    }
}
