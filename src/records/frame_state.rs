//! The state of one page frame, encoded in 32 bits.
//!
//! ```text
//!              reserve / hand over
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
//! A block's state is that of its first frame, the *head*; its other frames are
//! [`FrameKind::Tail`], and stay so while the block moves between lists and owners. Only a split
//! makes heads of tails and only a merge makes tails of heads, so that no operation writes every
//! frame of a block.

use core::fmt;

use crate::base::{AllocRequest, FrameKind, FreeKind, Mobility, Order};

/// The migration state of an allocated block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Migration {
    /// It is not being migrated: its owner may free it.
    None,
    /// It is being migrated: a free by its owner is recorded here, not carried out.
    Moving,
    /// Its owner freed it during its migration: the migration frees it at its end.
    Freed,
}

/// Kind and order; and for a free block its list, for an allocated one its mobility and migration
/// state, for a cached one its CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameState(u32);

impl FrameState {
    const ORDER_SHIFT: u32 = 4;
    const CLASS_SHIFT: u32 = 16;
    const KIND: u32 = 0xf;
    /// Allocated, and being migrated. The migration states are separate encodings, so that a free
    /// validates a block with one comparison of the low byte.
    const MOVING: u32 = 13;
    /// Allocated, and freed during its migration.
    const FREED: u32 = 15;
    const CPU_SHIFT: u32 = 16;
    /// If clear, the word of an allocated block is stale, and the owner word reads as 0.
    const OWNER_WORD: u32 = 1 << 24;
    const MISFILED: u32 = 1 << 14;

    pub(crate) const HOLE: Self = Self(FrameKind::Hole as u32);
    pub(crate) const RESERVED: Self = Self(FrameKind::Reserved as u32);
    pub(crate) const TAIL: Self = Self(FrameKind::Tail as u32);

    const fn head(kind: FrameKind, order: Order, class: u32) -> Self {
        Self(kind as u32 | (order.get() as u32) << Self::ORDER_SHIFT | class << Self::CLASS_SHIFT)
    }

    /// On the list of `kind`. It is stored so that a block leaves the list that it is on; that this
    /// is the list that its pageblock names is invariant I2.
    pub(crate) const fn free(order: Order, kind: FreeKind) -> Self {
        Self::head(FrameKind::Free, order, kind.index() as u32)
    }

    /// The same, on the list of a kind that is not its pageblock's.
    pub(crate) const fn misfiled(self) -> Self {
        Self(self.0 | Self::MISFILED)
    }

    pub(crate) const fn is_misfiled(self) -> bool {
        cfg!(feature = "faults") && self.0 & Self::MISFILED != 0
    }

    /// On a pcplist of this CPU. An entry for it on another CPU's list is stale.
    #[inline(always)]
    pub(crate) const fn cached(order: Order, cpu: u16) -> Self {
        Self(Self::head(FrameKind::Cached, order, 0).0 | (cpu as u32) << Self::CPU_SHIFT)
    }

    /// The same state for another order. `self` must be of order 0.
    #[inline(always)]
    pub(crate) const fn of_order(self, order: Order) -> Self {
        Self(self.0 | (order.get() as u32) << Self::ORDER_SHIFT)
    }

    #[inline(always)]
    pub(crate) const fn allocated(order: Order, mobility: Mobility) -> Self {
        Self::head(FrameKind::Allocated, order, mobility as u32)
    }

    /// The state of a block that is handed out for this request.
    #[inline(always)]
    pub(crate) const fn allocated_for(request: &AllocRequest) -> Self {
        let migration = if request.pinned { Migration::Moving } else { Migration::None };
        Self::allocated(request.order, request.mobility).with_migration(migration)
    }

    pub(crate) const fn contig(order: Order) -> Self {
        Self::head(FrameKind::Contig, order, 0)
    }

    pub(crate) const fn guard(order: Order) -> Self {
        Self::head(FrameKind::Guard, order, 0)
    }

    pub(crate) const fn offline(order: Order) -> Self {
        Self::head(FrameKind::Offline, order, 0)
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
            5 | Self::MOVING | Self::FREED => FrameKind::Allocated,
            6 => FrameKind::Contig,
            7 => FrameKind::Guard,
            8 => FrameKind::Offline,
            9 => FrameKind::Parked,
            _ => FrameKind::Hole,
        }
    }

    #[inline]
    pub(crate) const fn order(self) -> Order {
        Order::new((self.0 >> Self::ORDER_SHIFT) as u8 & 0xf)
    }

    /// Frames up to the next head: all of a block's for its head, 1 for any other frame.
    pub(crate) const fn pages(self) -> usize {
        if self.kind().is_head() { self.order().pages() } else { 1 }
    }

    /// The list that a free block is on. Meaningless for other kinds.
    pub(crate) const fn free_kind(self) -> FreeKind {
        FreeKind::from_index((self.0 >> Self::CLASS_SHIFT & 0xf) as usize)
    }

    /// The mobility of an allocated block. Meaningless for other kinds.
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

    /// The same state of an allocated block whose owner word is valid.
    #[inline(always)]
    pub(crate) const fn with_owner_word(self) -> Self {
        Self(self.0 | Self::OWNER_WORD)
    }

    #[inline(always)]
    pub(crate) const fn has_owner_word(self) -> bool {
        self.0 & Self::OWNER_WORD != 0
    }

    /// Whether this is an allocated block of `order` that is not being migrated: one comparison.
    #[inline(always)]
    pub(crate) const fn is_freeable(self, order: Order) -> bool {
        self.0 as u8 == Self::head(FrameKind::Allocated, order, 0).0 as u8
    }

    /// The same allocated block in this migration state.
    pub(crate) const fn with_migration(self, migration: Migration) -> Self {
        let kind = match migration {
            Migration::None => FrameKind::Allocated as u32,
            Migration::Moving => Self::MOVING,
            Migration::Freed => Self::FREED,
        };
        Self(self.0 & !Self::KIND | kind)
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

impl fmt::Debug for FrameState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            kind @ (FrameKind::Hole | FrameKind::Reserved | FrameKind::Tail) => write!(f, "{kind:?}"),
            FrameKind::Free => write!(f, "Free({}, {})", self.order().get(), self.free_kind()),
            FrameKind::Allocated => {
                write!(f, "Allocated({}, {}, {:?})", self.order().get(), self.mobility(), self.migration())
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
    use crate::base::{FrameKind, FreeKind, Mobility, Order};

    #[test]
    fn a_free_state_remembers_order_and_list() {
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
    fn migration_changes_nothing_else() {
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
    fn only_a_block_that_nobody_moves_is_idle() {
        for mobility in Mobility::ALL {
            let state = FrameState::allocated(Order::new(2), mobility);
            assert!(state.is_freeable(Order::new(2)) && !state.is_freeable(Order::new(3)));
            assert!(!state.with_migration(Migration::Moving).is_freeable(Order::new(2)));
            assert!(!state.with_migration(Migration::Freed).is_freeable(Order::new(2)));
        }
        assert!(!FrameState::cached(Order::ZERO, 0).is_freeable(Order::ZERO));
        assert_ne!(FrameState::cached(Order::ZERO, 0), FrameState::cached(Order::ZERO, 1));
    }

    #[test]
    fn memory_of_zeroes_is_the_inside_of_a_block() {
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
