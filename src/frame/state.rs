//! The state of one page frame, in one word.
//!
//! ```text
//!              reserve / hand over
//!    Reserved <-------------------> Free <----> Guard
//!       Hole                        |  ^
//!                              take |  | file, merge
//!                                   v  |
//!     Offline <---- isolated Free   Allocated <----> Cached   (pcplist)
//!                        |             |   ^
//!                        v         pin |   | unpin
//!                      Contig          v   |
//!                                 Allocated, migrating ----> ... freed while migrating
//! ```
//!
//! A block's state stands in its first frame, the *head*; its other frames are [`FrameKind::Tail`], and
//! stay so while the block moves between lists and owners. Only a split makes heads of tails and only
//! a merge makes tails of heads, so no operation writes every frame of a block.

use core::fmt;

use crate::migratetype::{FreeKind, Mobility};
use crate::order::Order;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum FrameKind {
    /// Inside a block whose head lies below. Zero, so that fresh memory is the inside of blocks.
    Tail = 0,
    /// Memory that was kept out of the allocator.
    Reserved = 1,
    /// No memory that the allocator knows of: a hole in the memory map.
    Hole = 2,
    /// Head of a block on a buddy list.
    Free = 3,
    /// Head of a block on a pcplist.
    Cached = 4,
    /// Head of a block that someone owns.
    Allocated = 5,
    /// Head of a part of a contiguous allocation.
    Contig = 6,
    /// Head of a guard block: neither free nor owned.
    Guard = 7,
    /// Head of a block that was taken offline.
    Offline = 8,
    /// Head of a block that was freed while its pageblock was being isolated. Of the design of that name only.
    #[cfg(feature = "designs")]
    Parked = 9,
}

impl FrameKind {
    const fn from_bits(bits: u32) -> Self {
        match bits {
            0 => Self::Tail,
            1 => Self::Reserved,
            3 => Self::Free,
            4 => Self::Cached,
            5 | FrameState::MOVING | FrameState::FREED => Self::Allocated,
            6 => Self::Contig,
            7 => Self::Guard,
            8 => Self::Offline,
            #[cfg(feature = "designs")]
            9 => Self::Parked,
            _ => Self::Hole,
        }
    }

    /// Whether a frame of this kind heads a block that has an order.
    pub(crate) const fn is_head(self) -> bool {
        !matches!(self, Self::Hole | Self::Reserved | Self::Tail)
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hole => "a hole in the memory map",
            Self::Reserved => "reserved",
            Self::Tail => "inside a block",
            Self::Free => "free",
            Self::Cached => "on a pcplist",
            Self::Allocated => "allocated",
            Self::Contig => "part of a contiguous allocation",
            Self::Guard => "a guard page",
            Self::Offline => "offline",
            #[cfg(feature = "designs")]
            Self::Parked => "parked",
        })
    }
}

/// Where an allocated block stands with respect to migration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Migration {
    /// Nobody is moving it: its owner may free it.
    Idle,
    /// Someone is moving it: a free by its owner is noted, not carried out.
    Moving,
    /// Its owner freed it while someone was moving it: who moves it frees it.
    Freed,
}

/// The word itself: kind, order, and for free blocks the list, for allocated ones mobility and
/// migration, for cached ones the CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameState(u32);

impl FrameState {
    const ORDER_SHIFT: u32 = 4;
    const CLASS_SHIFT: u32 = 16;
    const KIND: u32 = 0xf;
    /// Allocated, and somebody is moving it. Kinds of their own in here, so that a free tells by the low byte alone whether the block is
    /// what its caller says.
    const MOVING: u32 = 13;
    /// Allocated, and freed while somebody is moving it.
    const FREED: u32 = 15;
    const CPU_SHIFT: u32 = 16;
    /// An allocated block's word is its owner's. Without it the word is left over from before, and the owner's is 0.
    const NAMED: u32 = 1 << 24;
    #[cfg(feature = "faults")]
    const STRAY: u32 = 1 << 14;

    pub(crate) const HOLE: Self = Self(FrameKind::Hole as u32);
    pub(crate) const RESERVED: Self = Self(FrameKind::Reserved as u32);
    pub(crate) const TAIL: Self = Self(FrameKind::Tail as u32);

    const fn head(kind: FrameKind, order: Order, class: u32) -> Self {
        Self(kind as u32 | (order.get() as u32) << Self::ORDER_SHIFT | class << Self::CLASS_SHIFT)
    }

    /// Filed on the list of `kind`. Stored so that a block leaves the list that it is on; that this is
    /// the list that its pageblock names is invariant I2, which
    /// [`verify`](crate::PageAllocator::verify) checks.
    pub(crate) const fn free(order: Order, kind: FreeKind) -> Self {
        Self::head(FrameKind::Free, order, kind.index() as u32)
    }

    /// The same on the list of a kind that is not its pageblock's.
    #[cfg(feature = "faults")]
    pub(crate) const fn stray(self) -> Self {
        Self(self.0 | Self::STRAY)
    }

    #[cfg(feature = "faults")]
    pub(crate) const fn is_stray(self) -> bool {
        self.0 & Self::STRAY != 0
    }

    /// On a pcplist of this CPU: an entry on another CPU's list is not to be believed.
    #[inline(always)]
    pub(crate) const fn cached(order: Order, cpu: u16) -> Self {
        Self(Self::head(FrameKind::Cached, order, 0).0 | (cpu as u32) << Self::CPU_SHIFT)
    }

    /// The same for another order than 0, of which this must be.
    #[inline(always)]
    pub(crate) const fn of_order(self, order: Order) -> Self {
        Self(self.0 | (order.get() as u32) << Self::ORDER_SHIFT)
    }

    #[inline(always)]
    pub(crate) const fn allocated(order: Order, mobility: Mobility) -> Self {
        Self::head(FrameKind::Allocated, order, mobility as u32)
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

    #[cfg(feature = "designs")]
    pub(crate) const fn parked(order: Order) -> Self {
        Self::head(FrameKind::Parked, order, 0)
    }

    #[inline]
    pub(crate) const fn kind(self) -> FrameKind {
        FrameKind::from_bits(self.0 & Self::KIND)
    }

    #[inline]
    pub(crate) const fn order(self) -> Order {
        Order::new((self.0 >> Self::ORDER_SHIFT) as u8 & 0xf)
    }

    /// The list that a free block is filed on. Meaningless for other kinds.
    pub(crate) const fn filed(self) -> FreeKind {
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
            _ => Migration::Idle,
        }
    }

    /// An allocated block whose word is its owner's.
    #[inline(always)]
    pub(crate) const fn named(self) -> Self {
        Self(self.0 | Self::NAMED)
    }

    #[inline(always)]
    pub(crate) const fn is_named(self) -> bool {
        self.0 & Self::NAMED != 0
    }

    /// Whether this is an allocated block of `order` that nobody is moving, whoever it belongs to: one comparison.
    #[inline(always)]
    pub(crate) const fn is_idle(self, order: Order) -> bool {
        self.0 as u8 == Self::head(FrameKind::Allocated, order, 0).0 as u8
    }

    /// An allocated block, in this state of migration.
    pub(crate) const fn with_migration(self, migration: Migration) -> Self {
        let kind = match migration {
            Migration::Idle => FrameKind::Allocated as u32,
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
            FrameKind::Free => write!(f, "Free({}, {})", self.order().get(), self.filed()),
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
    use super::{FrameKind, FrameState, Migration};
    use crate::migratetype::{FreeKind, Mobility};
    use crate::order::Order;

    #[test]
    fn a_free_state_remembers_order_and_list() {
        for kind in FreeKind::ALL {
            for n in 0..=10 {
                let state = FrameState::free(Order::new(n), kind);
                assert_eq!(
                    (state.kind(), state.order(), state.filed()),
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
        assert_eq!(moving.with_migration(Migration::Idle), state);
        assert_eq!(moving.with_migration(Migration::Freed).migration(), Migration::Freed);
    }

    #[test]
    fn only_a_block_that_nobody_moves_is_idle() {
        for mobility in Mobility::ALL {
            let state = FrameState::allocated(Order::new(2), mobility);
            assert!(state.is_idle(Order::new(2)) && !state.is_idle(Order::new(3)));
            assert!(!state.with_migration(Migration::Moving).is_idle(Order::new(2)));
            assert!(!state.with_migration(Migration::Freed).is_idle(Order::new(2)));
        }
        assert!(!FrameState::cached(Order::ZERO, 0).is_idle(Order::ZERO));
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
