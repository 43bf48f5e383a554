//! The ownership of allocated blocks: checks that a block is allocated, its owner word, its split.
//!
//! # Atomic updates of the owner word
//!
//! The record of a block that was allocated with owner word 0 still has the links of a free list in
//! it, and its state says that it has no owner word. The first update must therefore write 0 before
//! it sets that flag, and no other update may come between the two. So the word is made with the
//! zone locked, by the first update to get the lock; the others find the flag set. From then on the
//! word is a plain atomic. `many_first_updates_of_an_owner_word_count_all` in the hosted stress
//! tests loses updates without the lock.

use crate::base::{FrameKind, Geometry, Order, Pfn, PfnRange, Platform};
use crate::page_allocator::allocator::PageAllocator;
use crate::page_allocator::free_error::FreeError;
use crate::records::{Descriptors, FrameState, Migration};
use crate::sync::{Ordering, PlainU64};

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// The owner word of an allocated block. Takes no lock; any context.
    ///
    /// # Errors
    ///
    /// Those of [`free_pages`](Self::free_pages): the block must be allocated at this order.
    pub fn owner(&self, pfn: Pfn, order: Order) -> Result<u64, FreeError> {
        check_owned::<G>(self.desc(), pfn, order, self.desc().frames.state(pfn))?;
        Ok(self.desc().frames.owner(pfn))
    }

    /// Sets the owner word of an allocated block. Only its owner may call this; any context.
    ///
    /// For updates by several CPUs at a time see [`fetch_add_owner`](Self::fetch_add_owner) and
    /// [`compare_exchange_owner`](Self::compare_exchange_owner).
    ///
    /// [`Migrate::migrate`](crate::Migrate::migrate) receives it. Until it is set, the owner word
    /// is the one of the request, and `migrate` should return `Busy` if that is not yet valid.
    pub fn set_owner(&self, pfn: Pfn, order: Order, owner: u64) -> Result<(), FreeError> {
        check_owned::<G>(self.desc(), pfn, order, self.desc().frames.state(pfn))?;
        self.desc().frames.set_owner(pfn, owner);
        Ok(())
    }

    /// Sets the owner word of every block of `range`: an exact or a contiguous allocation, also of
    /// a CMA area, or a part of one that consists of whole blocks.
    ///
    /// Only the owner of the range may call this; any context. Takes no lock.
    /// [`alloc_exact`](Self::alloc_exact) sets the word of its request, and
    /// [`ContigOptions::owner`](crate::ContigOptions::owner) that of a contiguous allocation.
    ///
    /// # Errors
    ///
    /// [`FreeError::Foreign`]; [`FreeError::NotContig`] for a frame that is not allocated;
    /// [`FreeError::BadRange`] for a range that ends within a block. Nothing has changed then.
    pub fn set_range_owner(&self, range: PfnRange, owner: u64) -> Result<(), FreeError> {
        if let Some(pfn) = self.desc().frames.extents().first_missing(range) {
            return Err(FreeError::Foreign { pfn });
        }
        let frames = &self.desc().frames;
        for found in frames.blocks(range, G::MAX_ORDER) {
            let (pfn, (head, state)) = (found.pfn, found.head(frames));
            if !matches!(state.kind(), FrameKind::Allocated | FrameKind::Contig) {
                return Err(FreeError::NotContig { pfn, kind: state.kind() });
            }
            if !range.covers(state.order().block(head)) {
                return Err(FreeError::BadRange { range });
            }
        }
        frames.set_owner_of_range(range, owner);
        Ok(())
    }

    /// Adds `value` to the owner word of an allocated block, atomically, and returns the word from
    /// before. Wraps around on overflow.
    ///
    /// With [`fetch_sub_owner`](Self::fetch_sub_owner) the word is a reference count of a shared
    /// frame, which [the guide](crate::guide::recipes#shared-frames) shows. Any CPU, at the same
    /// time as other updates of this kind; any context. The ordering is that of `Ordering::AcqRel`:
    /// what was done with the frame before one update is seen after a later one. Takes no lock,
    /// except the zone lock for the first update of a block that was allocated with owner word 0.
    ///
    /// While a movable block is being migrated, an update changes only the word of its old frames,
    /// and is lost if they are given up: [`Migrate::migrate`](crate::Migrate::migrate) must exclude
    /// updates, or the block must not be movable.
    ///
    /// # Errors
    ///
    /// Those of [`free_pages`](Self::free_pages): the block must be allocated at this order.
    pub fn fetch_add_owner(&self, pfn: Pfn, order: Order, value: u64) -> Result<u64, FreeError> {
        self.with_owner_word(pfn, order, |word| word.fetch_add(value, Ordering::AcqRel))
    }

    /// Subtracts `value` from the owner word of an allocated block, atomically, and returns the
    /// word from before. As [`fetch_add_owner`](Self::fetch_add_owner).
    ///
    /// # Errors
    ///
    /// Those of [`free_pages`](Self::free_pages): the block must be allocated at this order.
    pub fn fetch_sub_owner(&self, pfn: Pfn, order: Order, value: u64) -> Result<u64, FreeError> {
        self.with_owner_word(pfn, order, |word| word.fetch_sub(value, Ordering::AcqRel))
    }

    /// Sets the owner word of an allocated block to `new` if it is `current`, atomically.
    ///
    /// The inner result is that of `AtomicU64::compare_exchange`: the word from before, as `Ok` if
    /// it was `current`, and otherwise as `Err`. Else as
    /// [`fetch_add_owner`](Self::fetch_add_owner).
    ///
    /// # Errors
    ///
    /// Those of [`free_pages`](Self::free_pages): the block must be allocated at this order.
    pub fn compare_exchange_owner(
        &self,
        pfn: Pfn,
        order: Order,
        current: u64,
        new: u64,
    ) -> Result<Result<u64, u64>, FreeError> {
        self.with_owner_word(pfn, order, |word| {
            word.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
        })
    }

    /// Runs `f` with the owner word of an allocated block, which gets one if it has none.
    fn with_owner_word<R>(
        &self,
        pfn: Pfn,
        order: Order,
        f: impl FnOnce(&PlainU64) -> R,
    ) -> Result<R, FreeError> {
        let frames = &self.desc().frames;
        check_owned::<G>(self.desc(), pfn, order, frames.state(pfn))?;
        if frames.owner_cell(pfn).is_none() {
            self.in_zone(self.zone_of(pfn), |_| {
                check_owned::<G>(self.desc(), pfn, order, frames.state(pfn))?;
                if frames.owner_cell(pfn).is_none() {
                    frames.set_owner(pfn, 0);
                }
                Ok(())
            })?;
        }
        // It has none only if the block was freed just now.
        frames.owner_cell(pfn).map(f).ok_or(FreeError::DoubleFree { pfn })
    }

    /// Splits an allocated block into blocks of a lower order, each of which is then freed by
    /// itself (`split_page` in Linux, where the lower order is 0).
    ///
    /// The owner word stays with the first of them, and the others have the owner word 0. Only the
    /// owner of the block may call this; any context. Takes the zone lock, and time in proportion
    /// to the number of new blocks. If `into` is the order of the block, nothing changes.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, Order, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 1 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// // A huge page becomes 512 small ones.
    /// let huge = pages.alloc_pages(AllocRequest::unmovable().order(Order::new(9)))?;
    /// pages.split_pages(huge, Order::new(9), Order::ZERO)?;
    /// let third = huge.checked_add(2).unwrap();
    /// pages.free_pages(third, Order::ZERO)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`free_pages`](Self::free_pages), [`FreeError::OrderTooLarge`] if `into` is above
    /// `order`, and [`FreeError::Migrating`]. Nothing has changed then.
    pub fn split_pages(&self, pfn: Pfn, order: Order, into: Order) -> Result<(), FreeError> {
        check_owned::<G>(self.desc(), pfn, order, self.desc().frames.state(pfn))?;
        if into > order {
            return Err(FreeError::OrderTooLarge { order: into, max: order });
        }
        let pieces = order.block(pfn).iter().step_by(into.pages()).map(|pfn| (pfn, into));
        if into == order || self.split_owned(pfn, order, pieces) {
            return Ok(());
        }
        check_owned::<G>(self.desc(), pfn, order, self.desc().frames.state(pfn))?;
        Err(FreeError::Migrating { pfn })
    }

    /// Splits an allocated block, which the caller owns, into the blocks `pieces`, which cover it
    /// in ascending order. The owner word stays with the first; all have its site. Returns false,
    /// and changes nothing, if the block is being migrated.
    pub(crate) fn split_owned(
        &self,
        pfn: Pfn,
        order: Order,
        pieces: impl Iterator<Item = (Pfn, Order)>,
    ) -> bool {
        self.split_from(pfn, pieces, |state| state.is_idle(order))
    }

    /// As [`split_owned`](Self::split_owned), for a block that the caller has pinned, which is not
    /// pinned any more then. Returns false if it has been freed meanwhile.
    pub(crate) fn split_pinned(&self, pfn: Pfn, pieces: impl Iterator<Item = (Pfn, Order)>) -> bool {
        self.split_from(pfn, pieces, |state| {
            state.is(FrameKind::Allocated) && state.migration() == Migration::Moving
        })
    }

    fn split_from(
        &self,
        pfn: Pfn,
        mut pieces: impl Iterator<Item = (Pfn, Order)>,
        may_split: impl Fn(FrameState) -> bool,
    ) -> bool {
        let frames = &self.desc().frames;
        let Some((_, first_order)) = pieces.next() else {
            return false;
        };
        // With the zone locked, so that no walk of the frames finds only some of the pieces, and
        // that no frame is marked as bad meanwhile.
        self.in_zone(self.zone_of(pfn), |_| {
            loop {
                let whole = frames.state(pfn);
                if !may_split(whole) {
                    return false;
                }
                let piece = |order| {
                    FrameState::allocated(order, whole.mobility()).with_highest_zone(whole.highest_zone())
                };
                let marked = |pfn, state| if whole.has_bad() { frames.with_marks(pfn, state) } else { state };
                let first = piece(first_order);
                let first = if whole.has_owner_word() { first.with_owner_word() } else { first };
                let first = marked(pfn, first);
                // Fails if a migration pins the block, or its first owner word is set, just now.
                if frames.exchange(pfn, whole, first).is_ok() {
                    let (site, head) = (self.desc().site(pfn), frames.index_of(pfn));
                    pieces.for_each(|(piece_pfn, order)| {
                        let index = head.up(piece_pfn.offset_from(pfn) as u32);
                        self.desc().sites.set(index, site);
                        frames.set_state_at(index, marked(piece_pfn, piece(order)));
                    });
                    return true;
                }
            }
        })
    }
}

/// Checks that `state`, the state of `pfn`, is that of an allocated block of `order`.
#[inline]
pub(crate) fn check_owned<G: Geometry>(
    desc: &Descriptors<'_, G>,
    pfn: Pfn,
    order: Order,
    state: FrameState,
) -> Result<(), FreeError> {
    let owned = state.is(FrameKind::Allocated) && state.migration() != Migration::Freed;
    if owned && state.order() == order {
        return Ok(());
    }
    Err(explain::<G>(desc, pfn, order, state))
}

#[cold]
fn explain<G: Geometry>(desc: &Descriptors<'_, G>, pfn: Pfn, order: Order, state: FrameState) -> FreeError {
    if desc.frames.checked_index_of(pfn).is_none() {
        return FreeError::Foreign { pfn };
    }
    if order > G::MAX_ORDER {
        return FreeError::OrderTooLarge { order, max: G::MAX_ORDER };
    }
    if !order.is_aligned(pfn) {
        return FreeError::Unaligned { pfn, order };
    }
    let is_free =
        |kind| matches!(kind, FrameKind::Free | FrameKind::Cached | FrameKind::Guard | FrameKind::Reporting);
    match state.kind() {
        FrameKind::Hole => FreeError::Hole { pfn },
        FrameKind::Reserved | FrameKind::Offline | FrameKind::HwPoison => {
            FreeError::NotManaged { pfn, kind: state.kind() }
        }
        FrameKind::Contig => FreeError::Contig { pfn },
        FrameKind::Allocated if state.migration() == Migration::Freed => FreeError::DoubleFree { pfn },
        FrameKind::Allocated => FreeError::WrongOrder { pfn, given: order, allocated: state.order() },
        FrameKind::Free | FrameKind::Cached | FrameKind::Guard | FrameKind::Parked | FrameKind::Reporting => {
            FreeError::DoubleFree { pfn }
        }
        FrameKind::Tail => match desc.frames.head_of(pfn, G::MAX_ORDER) {
            Some((_, head)) if is_free(head.kind()) => FreeError::DoubleFree { pfn },
            Some((head, _)) => FreeError::NotHead { pfn, head },
            None => FreeError::DoubleFree { pfn },
        },
    }
}
