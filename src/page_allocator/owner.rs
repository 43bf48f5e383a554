//! The ownership of allocated blocks: checks that a block is allocated, its owner word, its split.

use crate::base::{FrameKind, Geometry, Order, Pfn, PfnRange, Platform};
use crate::page_allocator::allocator::PageAllocator;
use crate::page_allocator::free_error::FreeError;
use crate::records::{Descriptors, FrameState, Migration};

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
    /// [`Migrate::migrate`](crate::Migrate::migrate) receives it. Until it is set, the owner word
    /// is the one of the request, and `migrate` should return `Busy` if that is not yet valid.
    pub fn set_owner(&self, pfn: Pfn, order: Order, owner: u64) -> Result<(), FreeError> {
        check_owned::<G>(self.desc(), pfn, order, self.desc().frames.state(pfn))?;
        self.desc().frames.set_owner(pfn, owner);
        Ok(())
    }

    /// Sets the owner word of every block of `range`: an exact or a contiguous allocation, also of a
    /// CMA area, or a part of one that consists of whole blocks.
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
        if !self.span().covers(range) {
            return Err(FreeError::Foreign { pfn: range.start() });
        }
        let frames = &self.desc().frames;
        let mut pfn = range.start();
        while pfn < range.end() {
            let (head, state) = frames.head_of(pfn, G::MAX_ORDER).unwrap_or((pfn, frames.state(pfn)));
            if !matches!(state.kind(), FrameKind::Allocated | FrameKind::Contig) {
                return Err(FreeError::NotContig { pfn, kind: state.kind() });
            }
            if !range.covers(state.order().block(head)) {
                return Err(FreeError::BadRange { range });
            }
            pfn = state.order().block(head).end();
        }
        frames.set_owner_of_range(range, owner);
        Ok(())
    }

    /// Splits an allocated block, which the caller owns and whose order is not 0, into two halves.
    /// Both have the owner word of the block. Returns false if the block is being migrated.
    pub(crate) fn split_owned(&self, pfn: Pfn, order: Order) -> bool {
        let half = order.down();
        let frames = &self.desc().frames;
        let whole = frames.state(pfn);
        let state = FrameState::allocated(half, whole.mobility()).with_highest_zone(whole.highest_zone());
        if !whole.is_freeable(order) {
            return false;
        }
        // With the zone locked, so that no walk of the frames finds only one of the halves.
        self.in_zone(self.zone_of(pfn), |_| {
            let owner = frames.owner(pfn);
            let lower = if whole.has_owner_word() { state.with_owner_word() } else { state };
            let split = frames.exchange(pfn, whole, lower).is_ok();
            if split {
                frames.set_allocated(frames.index_of(pfn.up(half.pages())), state, owner);
            }
            split
        })
    }
}

/// Checks that `state`, the state of `pfn`, is that of an allocated block of `order`.
#[inline]
pub(super) fn check_owned<G: Geometry>(
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
    if !desc.frames.span().contains(pfn) {
        return FreeError::Foreign { pfn };
    }
    if order > G::MAX_ORDER {
        return FreeError::OrderTooLarge { order, max: G::MAX_ORDER };
    }
    if !order.is_aligned(pfn) {
        return FreeError::Unaligned { pfn, order };
    }
    let is_free = |kind| matches!(kind, FrameKind::Free | FrameKind::Cached | FrameKind::Guard);
    match state.kind() {
        FrameKind::Hole => FreeError::Hole { pfn },
        FrameKind::Reserved | FrameKind::Offline => FreeError::NotManaged { pfn, kind: state.kind() },
        FrameKind::Contig => FreeError::Contig { pfn },
        FrameKind::Allocated if state.migration() == Migration::Freed => FreeError::DoubleFree { pfn },
        FrameKind::Allocated => FreeError::WrongOrder { pfn, given: order, allocated: state.order() },
        FrameKind::Free | FrameKind::Cached | FrameKind::Guard | FrameKind::Parked => {
            FreeError::DoubleFree { pfn }
        }
        FrameKind::Tail => match desc.frames.head_of(pfn, G::MAX_ORDER) {
            Some((_, head)) if is_free(head.kind()) => FreeError::DoubleFree { pfn },
            Some((head, _)) => FreeError::NotHead { pfn, head },
            None => FreeError::DoubleFree { pfn },
        },
    }
}
