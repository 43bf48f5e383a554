//! Frame descriptors: sixteen bytes for each page frame, in a slice that the caller gives.
//!
//! Links are indices into the slice, not pointers, and the fields are atomics written under whichever
//! lock owns the block (a pcplist's or the zone's), so that the whole core is safe code and a race is
//! at worst a wrong number, which [`verify`](crate::PageAllocator::verify) finds, never undefined
//! behaviour. The descriptors are the only thing the allocator touches: it never reads or writes the
//! pages themselves. Neighbours: [`state`] for what a frame can be,
//! [`free_list`](crate::free_list) for the lists that the links make.

pub(crate) mod state;

use core::fmt;

use crate::order::Order;
use crate::pfn::{Pfn, PfnRange};
use crate::sync::{AtomicU32, Ordering, PlainU32, PlainU64};
use state::{FrameKind, FrameState};

/// The descriptor of one page frame: an element of the metadata that the caller provides.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct FrameDesc {
    state: AtomicU32,
    next: PlainU32,
    /// The owner's word while allocated, the backward link while on a list.
    word: PlainU64,
}

/// Linux spends 64 bytes on a `struct page`.
#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<FrameDesc>() == 16);

impl FrameDesc {
    /// A hole: what every frame is until the memory map says otherwise.
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU32::new(FrameState::HOLE.to_bits()),
            next: PlainU32::new(Link::NONE.0),
            word: PlainU64::new(0),
        }
    }
}

/// A frame's place in the table, or nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link(u32);

impl Link {
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The link as a number, for those who keep it in an array.
    #[inline(always)]
    pub(crate) fn to_bits(self) -> u32 {
        self.0
    }

    /// The link that [`to_bits`](Self::to_bits) gave.
    #[inline(always)]
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { f.write_str("-") } else { write!(f, "#{}", self.0) }
    }
}

/// The descriptors of all frames from `base` on.
#[derive(Debug)]
pub(crate) struct FrameTable<'m> {
    frames: &'m [FrameDesc],
    base: Pfn,
}

impl<'m> FrameTable<'m> {
    /// At most `u32::MAX` frames (16 TiB), so that a [`Link`] can name each.
    pub(crate) fn new(frames: &'m [FrameDesc], base: Pfn) -> Self {
        debug_assert!(frames.len() < Link::NONE.0 as usize);
        Self { frames, base }
    }

    /// Every frame that has a descriptor.
    pub(crate) fn span(&self) -> PfnRange {
        PfnRange::with_len(self.base, self.frames.len())
    }

    #[inline]
    fn desc(&self, pfn: Pfn) -> Option<&FrameDesc> {
        self.frames.get(pfn.number().wrapping_sub(self.base.number()))
    }

    #[inline]
    fn linked(&self, link: Link) -> Option<&FrameDesc> {
        self.frames.get(link.0 as usize)
    }

    /// The link that names `pfn`, which must have a descriptor.
    #[inline]
    pub(crate) fn link(&self, pfn: Pfn) -> Link {
        Link(pfn.number().wrapping_sub(self.base.number()) as u32)
    }

    #[inline]
    pub(crate) fn pfn(&self, link: Link) -> Pfn {
        self.base.up(link.0 as usize)
    }

    /// The link that names `pfn`, if it has a descriptor.
    #[inline(always)]
    pub(crate) fn find(&self, pfn: Pfn) -> Option<Link> {
        let index = pfn.number().wrapping_sub(self.base.number());
        (index < self.frames.len()).then_some(Link(index as u32))
    }

    /// The state of the frame that a link names.
    #[inline(always)]
    pub(crate) fn state_at(&self, link: Link) -> FrameState {
        match self.linked(link) {
            Some(desc) => FrameState::from_bits(desc.state.load(Ordering::Acquire)),
            None => FrameState::HOLE,
        }
    }

    /// As [`set_state`](Self::set_state).
    #[inline(always)]
    pub(crate) fn set_state_at(&self, link: Link, state: FrameState) {
        if let Some(desc) = self.linked(link) {
            desc.state.store(state.to_bits(), Ordering::Release);
        }
    }

    /// As [`exchange`](Self::exchange).
    #[inline(always)]
    pub(crate) fn exchange_at(&self, link: Link, from: FrameState, to: FrameState) -> Result<(), FrameState> {
        let Some(desc) = self.linked(link) else {
            return Err(FrameState::HOLE);
        };
        desc.state
            .compare_exchange(from.to_bits(), to.to_bits(), Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(FrameState::from_bits)
    }

    /// As [`set_owner`](Self::set_owner).
    #[inline(always)]
    pub(crate) fn set_owner_at(&self, link: Link, owner: u64) {
        if let Some(desc) = self.linked(link) {
            desc.word.store(owner, Ordering::Relaxed);
        }
    }

    /// The state of a frame; a hole if it has no descriptor.
    #[inline]
    pub(crate) fn state(&self, pfn: Pfn) -> FrameState {
        match self.desc(pfn) {
            // Acquire pairs with the Release in `exchange`: who sees a block allocated sees its word.
            Some(desc) => FrameState::from_bits(desc.state.load(Ordering::Acquire)),
            None => FrameState::HOLE,
        }
    }

    /// Stores the state of a frame whose state nobody else may change now.
    #[inline]
    pub(crate) fn set_state(&self, pfn: Pfn, state: FrameState) {
        if let Some(desc) = self.desc(pfn) {
            desc.state.store(state.to_bits(), Ordering::Release);
        }
    }

    /// Changes a state that its owner and a migration may both want to change: takes effect only if
    /// it is still `from`, and otherwise says what it is.
    #[inline]
    pub(crate) fn exchange(&self, pfn: Pfn, from: FrameState, to: FrameState) -> Result<(), FrameState> {
        let Some(desc) = self.desc(pfn) else {
            return Err(FrameState::HOLE);
        };
        desc.state
            .compare_exchange(from.to_bits(), to.to_bits(), Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(FrameState::from_bits)
    }

    #[inline]
    pub(crate) fn next(&self, link: Link) -> Link {
        self.linked(link).map_or(Link::NONE, |desc| Link(desc.next.load(Ordering::Relaxed)))
    }

    #[inline]
    pub(crate) fn prev(&self, link: Link) -> Link {
        self.linked(link).map_or(Link::NONE, |desc| Link(desc.word.load(Ordering::Relaxed) as u32))
    }

    #[inline]
    pub(crate) fn set_next(&self, link: Link, next: Link) {
        if let Some(desc) = self.linked(link) {
            desc.next.store(next.0, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn set_prev(&self, link: Link, prev: Link) {
        if let Some(desc) = self.linked(link) {
            desc.word.store(u64::from(prev.0), Ordering::Relaxed);
        }
    }

    /// The owner's word of an allocated block.
    pub(crate) fn owner(&self, pfn: Pfn) -> u64 {
        self.desc(pfn).map_or(0, |desc| desc.word.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn set_owner(&self, pfn: Pfn, owner: u64) {
        if let Some(desc) = self.desc(pfn) {
            desc.word.store(owner, Ordering::Relaxed);
        }
    }

    /// The head of the block that holds `pfn`, and its state. `None` if the frame is in no block.
    ///
    /// Exact for blocks that the caller's locks keep still; for others the answer may be out of date.
    /// Looks at one frame for each order up to `max`.
    pub(crate) fn head_of(&self, pfn: Pfn, max: Order) -> Option<(Pfn, FrameState)> {
        let mut tried = None;
        for order in Order::ZERO.up_to(max) {
            let head = order.align_down(pfn);
            if tried == Some(head) {
                continue;
            }
            tried = Some(head);
            let state = self.state(head);
            match state.kind() {
                FrameKind::Tail => {}
                kind if kind.is_head() && state.order().block(head).contains(pfn) => {
                    return Some((head, state));
                }
                _ => return None,
            }
        }
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::state::FrameState;
    use super::{FrameDesc, FrameTable};
    use crate::migratetype::{FreeKind, MigrateType, Mobility};
    use crate::order::Order;
    use crate::pfn::Pfn;

    fn descs(n: usize) -> Vec<FrameDesc> {
        (0..n).map(|_| FrameDesc::new()).collect()
    }

    #[test]
    fn frames_outside_the_table_are_holes() {
        let frames = descs(4);
        let table = FrameTable::new(&frames, Pfn::new(100));
        assert_eq!(table.state(Pfn::new(99)), FrameState::HOLE);
        assert_eq!(table.state(Pfn::new(104)), FrameState::HOLE);
        table.set_state(Pfn::new(104), FrameState::TAIL);
        assert_eq!(table.exchange(Pfn::new(3), FrameState::HOLE, FrameState::TAIL), Err(FrameState::HOLE));
    }

    #[test]
    fn the_head_is_found_from_any_frame_of_the_block() {
        let frames = descs(16);
        let table = FrameTable::new(&frames, Pfn::new(0));
        for n in 8..16 {
            table.set_state(Pfn::new(n), FrameState::TAIL);
        }
        let state = FrameState::free(Order::new(3), FreeKind::Listed(MigrateType::Movable));
        table.set_state(Pfn::new(8), state);
        for n in 8..16 {
            assert_eq!(table.head_of(Pfn::new(n), Order::new(3)), Some((Pfn::new(8), state)));
        }
        assert_eq!(table.head_of(Pfn::new(7), Order::new(3)), None);
    }

    #[test]
    fn a_state_is_exchanged_only_if_it_is_what_was_expected() {
        let frames = descs(1);
        let table = FrameTable::new(&frames, Pfn::new(0));
        let allocated = FrameState::allocated(Order::ZERO, Mobility::Movable);
        table.set_state(Pfn::new(0), allocated);
        let cached = FrameState::cached(Order::ZERO, 0);
        assert_eq!(table.exchange(Pfn::new(0), allocated, cached), Ok(()));
        assert_eq!(table.exchange(Pfn::new(0), allocated, cached), Err(cached));
    }
}
