//! Allocate and free by frame number: the raw interface, for page-table code and other places where a handle is in the
//! way. [`handle`](crate::handle) is the owned one.

use crate::error::{AllocError, FreeError};
use crate::frame::state::{FrameState, Migration};
use crate::geometry::Geometry;
use crate::migratetype::Mobility;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pfn::Pfn;
use crate::platform::Platform;
use crate::request::{AllocRequest, Depth, ZoneKind};
use crate::watermark::Mark;
use crate::zone::free::check_owned;

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// Allocates a block and returns its first frame. It is naturally aligned, and nobody else's until freed with
    /// [`free_pages`](Self::free_pages) and the same order. Contents are whatever they were.
    ///
    /// Zones are tried from the request's highest down, first as long as they stay above their low mark, then down to
    /// where the request may dig; then all pcplists are drained for a last try.
    ///
    /// Any CPU. In interrupt handlers use [`Depth::Atomic`], which skips the drain.
    ///
    /// # Errors
    ///
    /// [`AllocError::OrderTooLarge`], [`AllocError::NoMemory`].
    #[inline(always)]
    pub fn alloc_pages(&self, request: AllocRequest) -> Result<Pfn, AllocError> {
        match self.take_at_hand(request) {
            Some(pfn) => Ok(pfn),
            None => {
                let AllocRequest { order, mobility, highest_zone, depth, owner, migration } = request;
                self.alloc_beyond(order, mobility, highest_zone, depth, owner, migration)
                    .ok_or_else(|| Self::refusal(request))
            }
        }
    }

    /// Whatever is not at hand. Takes the request in pieces, and leaves the error to the caller, so that both
    /// travel in registers and the way that is not taken costs the other nothing.
    #[cold]
    #[inline(never)]
    fn alloc_beyond(
        &self,
        order: Order,
        mobility: Mobility,
        highest_zone: ZoneKind,
        depth: Depth,
        owner: u64,
        migration: Migration,
    ) -> Option<Pfn> {
        let request = AllocRequest { order, mobility, highest_zone, depth, owner, migration };
        self.try_zones(&request, Mark::Low).or_else(|| self.alloc_slowly(&request))
    }

    fn try_zones(&self, request: &AllocRequest, mark: Mark) -> Option<Pfn> {
        if request.order > G::MAX_ORDER {
            return None;
        }
        let zones = self.zones().get(..=request.highest_zone.index())?.iter().rev();
        zones
            .filter(|zone| zone.published().managed() > 0)
            .find_map(|zone| self.take_from(zone, request, mark))
    }

    fn alloc_slowly(&self, request: &AllocRequest) -> Option<Pfn> {
        let try_deep = || self.try_zones(request, Mark::Min);
        let found = try_deep().or_else(|| {
            if request.depth == Depth::Atomic || request.order > G::MAX_ORDER {
                return None;
            }
            self.drain_all();
            try_deep().or_else(|| {
                self.unreserve(request);
                try_deep()
            })
        });
        if found.is_none()
            && request.order <= G::MAX_ORDER
            && let Some(number) = self.diagnostics.no_memory.count()
        {
            let error = Self::refusal(*request);
            log::warn!("{error}; {} pages are free (failed so far: {number})", self.free_count());
        }
        found
    }

    /// Why there is no block for the request.
    #[cold]
    fn refusal(request: AllocRequest) -> AllocError {
        let AllocRequest { order, mobility, highest_zone, .. } = request;
        if order > G::MAX_ORDER {
            return AllocError::OrderTooLarge { order, max: G::MAX_ORDER };
        }
        AllocError::NoMemory { order, mobility, highest_zone }
    }

    /// Gives a part of the atomic reserves of the zones that the request may use back to everybody.
    fn unreserve(&self, request: &AllocRequest) {
        for zone in self.zones().iter().take(request.highest_zone.index() + 1) {
            self.in_zone(zone, |inner| inner.unreserve(self.mem()));
        }
    }

    /// Frees a block allocated with [`alloc_pages`](Self::alloc_pages) at exactly this order.
    ///
    /// Any CPU, not only the one that allocated it; interrupt handlers too.
    ///
    /// # Errors
    ///
    /// See [`FreeError`]: every mistake that the descriptors can show is found, and changes nothing.
    #[inline(always)]
    pub fn free_pages(&self, pfn: Pfn, order: Order) -> Result<(), FreeError> {
        if self.put_at_hand(pfn, order).is_some() {
            return Ok(());
        }
        let mut result = Ok(());
        self.free_beyond(pfn, order, &mut result);
        result
    }

    /// Whatever cannot simply be kept at hand, mistakes included. The place for the result comes last, so that the arguments stay
    /// where the caller has them.
    #[cold]
    #[inline(never)]
    fn free_beyond(&self, pfn: Pfn, order: Order, result: &mut Result<(), FreeError>) {
        *result = if self.span().contains(pfn) {
            self.free_owned(self.zone_of(pfn), pfn, order)
        } else {
            Err(FreeError::Foreign { pfn })
        };
    }

    /// Makes two allocated blocks of one, which the caller owns and whose order is not 0. Its owner word stays with the lower
    /// half. False if the block is being moved just now.
    pub(crate) fn split_owned(&self, pfn: Pfn, order: Order) -> bool {
        let half = order.down();
        let frames = &self.mem().frames;
        let whole = frames.state(pfn);
        let state = FrameState::allocated(half, whole.mobility());
        if !whole.is_idle(order) {
            return false;
        }
        // With the zone locked: a walk of the frames must not see the one half without the other.
        self.in_zone(self.zone_of(pfn), |_| {
            let lower = if whole.is_named() { state.named() } else { state };
            let split = frames.exchange(pfn, whole, lower).is_ok();
            if split {
                frames.set_state(pfn.up(half.pages()), state);
            }
            split
        })
    }

    /// Allocates a block for each place of `blocks`, in order, and says how many it could. All of them are blocks of the
    /// request's order, to be freed one by one.
    ///
    /// Any CPU; as [`alloc_pages`](Self::alloc_pages) otherwise. Interrupts are masked for one block at a time.
    pub fn alloc_bulk(&self, request: AllocRequest, blocks: &mut [Pfn]) -> usize {
        let mut filled = 0;
        for place in blocks {
            let Ok(pfn) = self.alloc_pages(request) else {
                break;
            };
            *place = pfn;
            filled += 1;
        }
        filled
    }

    /// The word that the owner of a block keeps with it. Any context; takes no lock.
    ///
    /// # Errors
    ///
    /// Those of freeing the same block: it must be allocated, with this frame as its head and this order.
    pub fn owner(&self, pfn: Pfn, order: Order) -> Result<u64, FreeError> {
        check_owned::<G>(self.mem(), pfn, order, self.mem().frames.state(pfn))?;
        Ok(self.mem().frames.owner(pfn))
    }

    /// Changes the word that [`Migrate`](crate::Migrate) is given for a block. The caller must own it, and must set the
    /// word before it makes the block reachable for migration (until then it answers `Busy`).
    ///
    /// # Errors
    ///
    /// As [`owner`](Self::owner).
    pub fn set_owner(&self, pfn: Pfn, order: Order, owner: u64) -> Result<(), FreeError> {
        check_owned::<G>(self.mem(), pfn, order, self.mem().frames.state(pfn))?;
        self.mem().frames.set_owner(pfn, owner);
        Ok(())
    }
}
