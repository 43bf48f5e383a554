//! The state of one page frame, encoded in 32 bits.
//!
//! ```text
//!              reserve, add_memory
//!    Reserved <-------------------> Free <----> Guard
//!       Hole                        |  ^
//!                             alloc |  | free, merge
//!                                   v  |
//!     Offline <---- isolated Free   Allocated <----> Cached   (pcplist)
//!                        |             |   ^
//!                        v         pin |   | unpin
//!                      Contig          v   |
//!                                 Allocated, migrating ----> ... freed while migrating
//! ```
//!
//! A free block of at least the pageblock order can also be Reporting, while it is in a batch of
//! free page reporting, and then is free again.
//!
//! A bad frame that is free becomes a block of its own, HwPoison, and stays that. In an allocated
//! block it is only marked, with a bit in its own state and one in that of the head. The head is
//! then of another kind in the encoding, so that no fast path frees the block.
//!
//! The state of a block is that of its first frame, the *head*. Its other frames are
//! [`FrameKind::Tail`] and stay so while the block moves between lists and owners. Only a split
//! turns tails into heads and only a merge turns heads into tails, so that no operation writes the
//! record of every frame of a block.

use core::fmt;

use crate::base::{AllocRequest, FrameKind, FreeKind, Mobility, Order, ZoneKind};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Migration {
    /// It is not being migrated.
    None,
    /// It is being migrated (pinned). A free by its owner only sets `Freed`.
    Moving,
    /// Its owner freed it during the migration, which frees the block when it ends.
    Freed,
}

/// The kind and the order of a block. Also, if it is free, its list; if it is allocated, its
/// mobility, migration state and highest zone; if it is cached, its CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameState(u32);

impl FrameState {
    const ORDER_SHIFT: u32 = 4;
    /// Where the list of a free block or the mobility of an allocated one is.
    const CLASS_SHIFT: u32 = 16;
    const KIND: u32 = 0xf;
    /// Allocated, and being migrated. The migration states are kinds of the encoding, so that a
    /// free validates a block with one comparison of the low byte.
    const MOVING: u32 = 13;
    /// Allocated, and freed during its migration.
    const FREED: u32 = 15;
    /// Allocated, not being migrated, and with a bad frame in the block.
    const WITH_BAD: u32 = 11;
    /// In the state of the head of an allocated block that has bad frames.
    const HAS_BAD: u32 = 1 << 12;
    /// In the state of a bad frame, head or tail.
    const BAD: u32 = 1 << 13;
    /// In the class of a block in a contiguous allocation: it is pinned for a device.
    const PINNED_BIT: u32 = 2 << Self::CLASS_SHIFT;
    const CPU_SHIFT: u32 = 16;
    /// The most CPUs that the state of a cached block can distinguish.
    pub(crate) const MAX_CPUS: usize = 1 << 16;
    /// In the state of a cached block that is on a list of no CPU but of the exchange.
    const EXCHANGED: u32 = 1 << 8;
    /// Set if the word of a block that is allocated, also in a contiguous allocation, is its owner
    /// word; else the owner word is 0.
    const OWNER_WORD: u32 = 1 << 24;
    /// Where the highest zone of an allocated block is.
    const ZONE_SHIFT: u32 = 26;
    /// On a free list that is not the one that its pageblock names. Feature `faults`.
    const MISFILED: u32 = 1 << 14;
    /// In the state of a free block of at least the pageblock order that has been reported to the
    /// host, and of a block that the host is being told of.
    const REPORTED: u32 = 1 << 15;

    pub(crate) const HOLE: Self = Self(FrameKind::Hole as u32);
    pub(crate) const RESERVED: Self = Self(FrameKind::Reserved as u32);
    pub(crate) const TAIL: Self = Self(FrameKind::Tail as u32);

    const fn head(kind: FrameKind, order: Order, class: u32) -> Self {
        Self(kind as u32 | (order.get() as u32) << Self::ORDER_SHIFT | class << Self::CLASS_SHIFT)
    }

    /// On the free list of `kind`. The kind is stored so that a block is removed from the list that
    /// it is on; invariant I2 says that this is the list that its pageblock names.
    pub(crate) const fn free(order: Order, kind: FreeKind) -> Self {
        Self::head(FrameKind::Free, order, kind.index() as u32)
    }

    /// The same free block, on a list that is not the one that its pageblock names.
    pub(crate) const fn misfiled(self) -> Self {
        Self(self.0 | Self::MISFILED)
    }

    /// The same free block, whose memory the host has taken back.
    pub(crate) const fn reported(self) -> Self {
        Self(self.0 | Self::REPORTED)
    }

    /// Whether the host has taken back the memory of a free block.
    pub(crate) const fn is_reported(self) -> bool {
        self.0 & Self::REPORTED != 0
    }

    /// In a batch that is being reported to the host, which has not been told of the block yet.
    pub(crate) const fn reporting(order: Order) -> Self {
        Self::head(FrameKind::Reporting, order, 0)
    }

    /// In a batch, and the host has been told of the block.
    pub(crate) const fn handed_over(order: Order) -> Self {
        Self::reporting(order).reported()
    }

    pub(crate) const fn is_misfiled(self) -> bool {
        cfg!(feature = "faults") && self.0 & Self::MISFILED != 0
    }

    /// On a pcplist of this CPU. Entries of other CPUs' pcplists for the block are stale.
    #[inline(always)]
    pub(crate) const fn cached(order: Order, cpu: u16) -> Self {
        Self(Self::head(FrameKind::Cached, order, 0).0 | (cpu as u32) << Self::CPU_SHIFT)
    }

    /// A page on a pcplist of the exchange.
    pub(crate) const IN_EXCHANGE: Self = Self(Self::cached(Order::ZERO, 0).0 | Self::EXCHANGED);

    /// This state, which is of order 0, for another order.
    #[inline(always)]
    pub(crate) const fn of_order(self, order: Order) -> Self {
        Self(self.0.wrapping_add((order.get() as u32) << Self::ORDER_SHIFT))
    }

    /// This state with `order` subtracted from its order: the inverse of
    /// [`of_order`](Self::of_order) if that made it, and otherwise a state that `of_order` does not
    /// take.
    #[inline(always)]
    pub(crate) const fn less_order(self, order: Order) -> Self {
        Self(self.0.wrapping_sub((order.get() as u32) << Self::ORDER_SHIFT))
    }

    #[inline(always)]
    pub(crate) const fn allocated(order: Order, mobility: Mobility) -> Self {
        Self::head(FrameKind::Allocated, order, mobility as u32)
    }

    #[inline(always)]
    pub(crate) const fn allocated_for(request: &AllocRequest) -> Self {
        let migration = if request.pinned { Migration::Moving } else { Migration::None };
        Self::allocated(request.order, request.mobility)
            .with_migration(migration)
            .with_highest_zone(request.highest_zone)
    }

    /// This state, which is of [`allocated`](Self::allocated), for a request that may use this zone
    /// and the zones below it.
    #[inline(always)]
    pub(crate) const fn with_highest_zone(self, highest: ZoneKind) -> Self {
        Self(self.0 | (highest as u32) << Self::ZONE_SHIFT)
    }

    /// The highest zone that the request for an allocated block could use. A migration keeps to it.
    pub(crate) const fn highest_zone(self) -> ZoneKind {
        match self.0 >> Self::ZONE_SHIFT & 3 {
            0 => ZoneKind::Dma,
            1 => ZoneKind::Dma32,
            _ => ZoneKind::Normal,
        }
    }

    pub(crate) const fn contig(order: Order) -> Self {
        Self::head(FrameKind::Contig, order, 0)
    }

    /// In a contiguous allocation that a CMA area keeps track of, and that only it may free.
    pub(crate) const fn contig_of_area(order: Order) -> Self {
        Self::head(FrameKind::Contig, order, 1)
    }

    /// Whether a block in a contiguous allocation is a CMA area's.
    pub(crate) const fn is_of_area(self) -> bool {
        self.0 & !Self::PINNED_BIT & 0xf << Self::CLASS_SHIFT == 1 << Self::CLASS_SHIFT
    }

    /// Whether this is a block in a contiguous allocation that is pinned for a device.
    pub(crate) const fn is_pinned(self) -> bool {
        self.is(FrameKind::Contig) && self.0 & Self::PINNED_BIT != 0
    }

    /// This state, of a block in a contiguous allocation, pinned or not.
    pub(crate) const fn with_pin(self, pinned: bool) -> Self {
        Self(if pinned { self.0 | Self::PINNED_BIT } else { self.0 & !Self::PINNED_BIT })
    }

    pub(crate) const fn guard(order: Order) -> Self {
        Self::head(FrameKind::Guard, order, 0)
    }

    pub(crate) const fn offline(order: Order) -> Self {
        Self::head(FrameKind::Offline, order, 0)
    }

    pub(crate) const HWPOISON: Self = Self::head(FrameKind::HwPoison, Order::ZERO, 0);

    /// This state, of the head of an allocated block, with the note that the block has bad frames.
    pub(crate) const fn with_bad(self) -> Self {
        let noted = Self(self.0 | Self::HAS_BAD);
        match self.migration() {
            Migration::None if self.is(FrameKind::Allocated) => noted.with_migration(Migration::None),
            _ => noted,
        }
    }

    /// Whether the block with this head has bad frames.
    #[inline]
    pub(crate) const fn has_bad(self) -> bool {
        self.0 & Self::HAS_BAD != 0
    }

    /// This state, with the mark that the frame itself is bad.
    pub(crate) const fn marked_bad(self) -> Self {
        Self(self.0 | Self::BAD)
    }

    /// Whether the frame is marked as bad.
    pub(crate) const fn is_marked_bad(self) -> bool {
        self.0 & Self::BAD != 0
    }

    /// The state of the frame when it is a tail. A bad one stays marked.
    pub(crate) const fn as_tail(self) -> Self {
        Self(FrameKind::Tail as u32 | self.0 & Self::BAD)
    }

    pub(crate) const fn parked(order: Order) -> Self {
        Self::head(FrameKind::Parked, order, 0)
    }

    #[inline]
    pub(crate) const fn kind(self) -> FrameKind {
        match self.0 & Self::KIND {
            0 => FrameKind::Tail,
            1 => FrameKind::Reserved,
            3 => FrameKind::Free,
            4 => FrameKind::Cached,
            5 | Self::WITH_BAD | Self::MOVING | Self::FREED => FrameKind::Allocated,
            6 => FrameKind::Contig,
            7 => FrameKind::Guard,
            8 => FrameKind::Offline,
            9 => FrameKind::Parked,
            10 => FrameKind::HwPoison,
            12 => FrameKind::Reporting,
            _ => FrameKind::Hole,
        }
    }

    /// The number of [`kind_number`](Self::kind_number)s.
    pub(crate) const KINDS: usize = Self::KIND as usize + 1;

    /// A number that tells the [kind](Self::kind): of a state whose bits are only that number, too.
    #[inline(always)]
    pub(crate) const fn kind_number(self) -> usize {
        (self.0 & Self::KIND) as usize
    }

    /// Whether this is the state of the first frame of a block: as that of its [kind](Self::kind).
    #[inline(always)]
    pub(crate) const fn is_head(self) -> bool {
        // Without the tail, reserved, and the two numbers of a hole.
        const HEADS: u32 = 0xffff & !(1 << 0 | 1 << 1 | 1 << 2 | 1 << 14);
        HEADS >> (self.0 & Self::KIND) & 1 != 0
    }

    /// The frames of the block of a head.
    #[inline(always)]
    pub(crate) const fn pages_of_head(self) -> usize {
        1 << (self.0 >> Self::ORDER_SHIFT & 0xf)
    }

    /// Whether the block is free, or is allocated and movable and neither has a bad frame nor is
    /// being migrated: what most blocks of a range are that is to become free.
    #[inline(always)]
    pub(crate) const fn is_free_or_movable(self) -> bool {
        const MOVABLE: u32 = FrameState::allocated(Order::ZERO, Mobility::Movable).0;
        self.0 & (Self::KIND | 0xf << Self::CLASS_SHIFT) == MOVABLE
            || self.0 & Self::KIND == FrameKind::Free as u32
    }

    /// Whether the block is a single page that is allocated and movable, and neither is bad nor
    /// being migrated.
    #[inline(always)]
    pub(crate) const fn is_movable_page(self) -> bool {
        const MOVABLE: u32 = FrameState::allocated(Order::ZERO, Mobility::Movable).0;
        self.0 & (Self::KIND | 0xf << Self::ORDER_SHIFT | 0xf << Self::CLASS_SHIFT) == MOVABLE
    }

    /// The frames of the block of a head that nothing keeps from becoming free: it is allocated and
    /// movable, whatever its migration state, or nobody owns it. 0 otherwise, and if it is one bad
    /// frame.
    #[inline(always)]
    pub(crate) fn pages_if_movable(self) -> usize {
        const ALLOCATED: u32 = 1 << FrameKind::Allocated as u32
            | 1 << FrameState::WITH_BAD
            | 1 << FrameState::MOVING
            | 1 << FrameState::FREED;
        match UNOWNED_PAGES[usize::from(self.0 as u8)] {
            0 if ALLOCATED >> (self.0 & Self::KIND) & 1 == 0 || self.mobility() != Mobility::Movable => 0,
            0 => self.pages_of_head(),
            pages => pages.into(),
        }
    }

    #[inline]
    pub(crate) const fn order(self) -> Order {
        Order::new((self.0 >> Self::ORDER_SHIFT) as u8 & 0xf)
    }

    /// The frames of the block if this is the state of a head, otherwise 1: the step of a walk.
    pub(crate) const fn pages(self) -> usize {
        if self.is_head() { self.pages_of_head() } else { 1 }
    }

    /// The kind of list that a free block is on. Not valid for other kinds of frames.
    pub(crate) const fn free_kind(self) -> FreeKind {
        FreeKind::from_index((self.0 >> Self::CLASS_SHIFT & 0xf) as usize)
    }

    /// The mobility of an allocated block. Not valid for other kinds of frames.
    #[inline]
    pub(crate) const fn mobility(self) -> Mobility {
        Mobility::from_bits(self.0 >> Self::CLASS_SHIFT & 0xf)
    }

    pub(crate) const fn migration(self) -> Migration {
        match self.0 & Self::KIND {
            Self::MOVING => Migration::Moving,
            Self::FREED => Migration::Freed,
            _ => Migration::None,
        }
    }

    #[inline(always)]
    pub(crate) const fn with_owner_word(self) -> Self {
        Self(self.0 | Self::OWNER_WORD)
    }

    #[inline(always)]
    pub(crate) const fn has_owner_word(self) -> bool {
        self.0 & Self::OWNER_WORD != 0
    }

    /// Whether this is an allocated block of `order` that is not being migrated and has no bad
    /// frame. One comparison.
    #[inline(always)]
    pub(crate) const fn is_freeable(self, order: Order) -> bool {
        self.0 as u8 == Self::head(FrameKind::Allocated, order, 0).0 as u8
    }

    /// Whether this is an allocated block of `order` that is not being migrated.
    pub(crate) fn is_idle(self, order: Order) -> bool {
        self.is(FrameKind::Allocated) && self.migration() == Migration::None && self.order() == order
    }

    pub(crate) const fn with_migration(self, migration: Migration) -> Self {
        let kind = match migration {
            Migration::None if self.has_bad() => Self::WITH_BAD,
            Migration::None => FrameKind::Allocated as u32,
            Migration::Moving => Self::MOVING,
            Migration::Freed => Self::FREED,
        };
        Self(self.0 & !Self::KIND | kind)
    }

    /// Whether the frame is no memory of the allocator: a hole, or reserved.
    pub(crate) fn is_no_memory(self) -> bool {
        matches!(self.kind(), FrameKind::Hole | FrameKind::Reserved)
    }

    pub(crate) const fn is(self, kind: FrameKind) -> bool {
        self.kind() as u8 == kind as u8
    }

    #[inline]
    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// By the low byte of a state: the frames of the block if nobody owns it and it is not bad, else 0.
static UNOWNED_PAGES: [u16; 256] = {
    let mut pages = [0; 256];
    let mut byte = 0;
    while byte < pages.len() {
        let state = FrameState(byte as u32);
        let unowned = matches!(
            state.kind(),
            FrameKind::Free | FrameKind::Cached | FrameKind::Guard | FrameKind::Parked | FrameKind::Reporting
        );
        pages[byte] = if unowned { state.pages_of_head() as u16 } else { 0 };
        byte += 1;
    }
    pages
};

impl fmt::Debug for FrameState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            kind @ (FrameKind::Hole | FrameKind::Reserved | FrameKind::Tail) => write!(f, "{kind:?}"),
            FrameKind::Free => write!(f, "Free({}, {})", self.order().get(), self.free_kind()),
            FrameKind::Allocated => {
                write!(f, "Allocated({}, {}, {:?})", self.order().get(), self.mobility(), self.migration())
            }
            FrameKind::Cached if self.0 & Self::EXCHANGED != 0 => {
                write!(f, "Cached({}, exchange)", self.order().get())
            }
            FrameKind::Cached => {
                write!(f, "Cached({}, CPU {})", self.order().get(), self.0 >> Self::CPU_SHIFT)
            }
            kind => write!(f, "{kind:?}({})", self.order().get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameState, Migration};
    use crate::base::{AllocRequest, FrameKind, FreeKind, Mobility, Order, ZoneKind};

    #[test]
    fn a_free_state_has_the_order_and_the_list() {
        for kind in FreeKind::ALL {
            for n in 0..=10 {
                let state = FrameState::free(Order::new(n), kind);
                assert_eq!(
                    (state.kind(), state.order(), state.free_kind()),
                    (FrameKind::Free, Order::new(n), kind)
                );
            }
        }
    }

    #[test]
    fn a_cached_block_is_told_from_those_of_other_orders_and_cpus() {
        let (page, others) = (FrameState::cached(Order::ZERO, 3), FrameState::cached(Order::ZERO, 4));
        for order in (0..=9).map(Order::new) {
            assert_eq!(page.of_order(order), FrameState::cached(order, 3));
            for other in (0..=9).map(Order::new) {
                assert_eq!(page.of_order(order).less_order(other) == page, order == other);
                assert_ne!(others.of_order(order).less_order(other), page);
            }
        }
    }

    #[test]
    fn the_quick_questions_have_the_answers_of_the_kind() {
        for class in 0..8 {
            for kind in 0..16 {
                let state = FrameState::from_bits(kind | class << FrameState::CLASS_SHIFT);
                assert_eq!(state.is_head(), state.kind().is_head(), "{state:?}");
                let movable = state.is(FrameKind::Allocated)
                    && state.mobility() == Mobility::Movable
                    && state.migration() == Migration::None
                    && kind != FrameState::WITH_BAD;
                let quick = state.is(FrameKind::Free) || movable;
                assert_eq!(state.is_free_or_movable(), quick, "{state:?}");
                for order in (0..=15).map(Order::new) {
                    let state = state.of_order(order);
                    assert_eq!(state.is_movable_page(), movable && order == Order::ZERO, "{state:?}");
                    let may_move = match state.kind() {
                        FrameKind::Allocated => state.mobility() == Mobility::Movable,
                        FrameKind::Contig | FrameKind::Offline | FrameKind::HwPoison => false,
                        kind => kind.is_head(),
                    };
                    let pages = if may_move { 1 << order.get() } else { 0 };
                    assert_eq!(state.pages_if_movable(), pages, "{state:?}");
                }
            }
        }
    }

    #[test]
    fn the_migration_state_changes_no_other_field() {
        let state = FrameState::allocated(Order::new(3), Mobility::Movable);
        let moving = state.with_migration(Migration::Moving);
        assert_eq!(moving.migration(), Migration::Moving);
        assert_eq!(
            (moving.kind(), moving.order(), moving.mobility()),
            (state.kind(), state.order(), state.mobility())
        );
        assert_eq!(moving.with_migration(Migration::None), state);
        assert_eq!(moving.with_migration(Migration::Freed).migration(), Migration::Freed);
    }

    #[test]
    fn the_highest_zone_changes_no_other_field() {
        for zone in ZoneKind::ALL {
            let request = AllocRequest::movable().order(Order::new(7)).highest_zone(zone).pinned();
            let state = FrameState::allocated_for(&request).with_owner_word();
            assert_eq!((state.highest_zone(), state.order()), (zone, Order::new(7)));
            assert_eq!((state.mobility(), state.migration()), (Mobility::Movable, Migration::Moving));
            assert!(state.has_owner_word());
            let idle = state.with_migration(Migration::None);
            assert!(idle.is_freeable(Order::new(7)) && idle.highest_zone() == zone);
        }
    }

    #[test]
    fn only_an_allocated_block_that_is_not_migrating_is_freeable() {
        for mobility in Mobility::ALL {
            let state = FrameState::allocated(Order::new(2), mobility);
            assert!(state.is_freeable(Order::new(2)) && !state.is_freeable(Order::new(3)));
            assert!(!state.with_migration(Migration::Moving).is_freeable(Order::new(2)));
            assert!(!state.with_migration(Migration::Freed).is_freeable(Order::new(2)));
        }
        assert!(!FrameState::cached(Order::ZERO, 0).is_freeable(Order::ZERO));
        assert_ne!(FrameState::cached(Order::ZERO, 0), FrameState::cached(Order::ZERO, 1));
        let exchanged = FrameState::IN_EXCHANGE;
        assert!(exchanged.is(FrameKind::Cached) && !exchanged.is_freeable(Order::ZERO));
        for cpu in [0, 1, u16::MAX] {
            assert_ne!(FrameState::cached(Order::ZERO, cpu), exchanged);
        }
    }

    #[test]
    fn a_block_with_a_bad_frame_is_allocated_and_not_freeable() {
        for order in [0, 3, 10].map(Order::new) {
            let request = AllocRequest::movable().order(order).highest_zone(ZoneKind::Dma32);
            let state = FrameState::allocated_for(&request).with_owner_word();
            let noted = state.with_bad();
            assert!(!state.has_bad() && noted.has_bad() && !noted.is_marked_bad());
            assert!(noted.is(FrameKind::Allocated) && !noted.is_freeable(order));
            assert_eq!((noted.order(), noted.mobility()), (order, Mobility::Movable));
            assert_eq!(
                (noted.migration(), noted.highest_zone(), noted.has_owner_word()),
                (Migration::None, ZoneKind::Dma32, true)
            );
            let moving = noted.with_migration(Migration::Moving);
            assert!(moving.has_bad() && moving.migration() == Migration::Moving);
            assert_eq!(moving, state.with_migration(Migration::Moving).with_bad());
            assert_eq!(moving.with_migration(Migration::None), noted);
            let bad = noted.marked_bad();
            assert!(bad.is(FrameKind::Allocated) && bad.as_tail().is_marked_bad());
            assert!(bad.as_tail().is(FrameKind::Tail) && noted.as_tail() == FrameState::TAIL);
        }
        let contig = FrameState::contig_of_area(Order::new(4)).with_bad();
        assert!(contig.is(FrameKind::Contig) && contig.is_of_area() && contig.order() == Order::new(4));
    }

    #[test]
    fn zeroed_memory_is_tails() {
        assert_eq!(FrameState::from_bits(0), FrameState::TAIL);
    }

    #[test]
    fn only_blocks_are_heads() {
        assert!(FrameState::contig(Order::ZERO).kind().is_head());
        assert!(FrameState::guard(Order::ZERO).kind().is_head());
        assert!(FrameState::offline(Order::ZERO).kind().is_head());
        for state in [FrameState::HOLE, FrameState::RESERVED, FrameState::TAIL] {
            assert!(!state.kind().is_head());
        }
    }
}
