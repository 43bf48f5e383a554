//! The interface of the measured allocators, [`Peer`], and the list of them, [`PeerId`].
//!
//! Frames and orders have the types of pageblock. Each is one machine word, so that conversions
//! cost nothing.

use pageblock::{Mobility, Order, Pfn};

use crate::arena::Arena;

/// An allocator of `FRAMES` page frames, without their contents.
pub(crate) trait Peer: Sync + Sized {
    /// Which allocator this is.
    const ID: PeerId;

    /// Makes an allocator whose frames are all free. Nothing in `arena` has been touched.
    fn new(arena: Arena) -> Self;

    /// The number of its first frame.
    fn first_frame(&self) -> Pfn;

    /// Allocates a naturally aligned block.
    fn alloc(&self, order: Order, mobility: Mobility) -> Option<Pfn>;

    /// Frees a block that [`alloc`](Self::alloc) returned for this order.
    fn free(&self, pfn: Pfn, order: Order);

    /// Frees a block that may not be allocated, or not with this order.
    fn try_free(&self, pfn: Pfn, order: Order) -> Result<(), Refused> {
        self.free(pfn, order);
        Ok(())
    }

    /// The size of all records. `None` if they are on a heap and grow with use.
    fn metadata_bytes(&self) -> Option<usize>;
}

/// The allocator refused a free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused;

macro_rules! peers {
    ($($id:ident $key:literal, $title:literal, $orders:expr, $pace:expr;)*) => {
        /// The allocators that are measured.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, clap::ValueEnum, serde::Serialize)]
        pub(crate) enum PeerId {
            $(#[value(name = $key)] #[serde(rename = $key)] $id,)*
        }

        impl PeerId {
            pub(crate) const ALL: &[Self] = &[$(Self::$id),*];

            /// The name on the command line and in JSON.
            pub(crate) const fn key(self) -> &'static str {
                match self { $(Self::$id => $key,)* }
            }

            /// The name in tables.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$id => $title,)* }
            }

            /// The orders that it can allocate.
            pub(crate) const fn orders(self) -> Orders {
                match self { $(Self::$id => $orders,)* }
            }

            /// Whether workloads are shortened for it.
            pub(crate) const fn pace(self) -> Pace {
                match self { $(Self::$id => $pace,)* }
            }
        }
    };
}

peers! {
    OursDefault "ours-default", "pageblock, default", Orders::All, Pace::Normal;
    Ours "ours", "pageblock, owner-only", Orders::All, Pace::Normal;
    Summary "frame-alloc", "frame-alloc", Orders::All, Pace::Normal;
    Depot "depot", "with Depot", Orders::All, Pace::Normal;
    BuddySlab "buddy-slab", "buddy-slab", Orders::All, Pace::Normal;
    BuddySystem "buddy-system", "buddy_system", Orders::All, Pace::Normal;
    Branch "branch", "branch", Orders::Zero, Pace::Slow;
    FreeList "free-list", "free-list", Orders::All, Pace::Slow;
    Floor "floor", "floor", Orders::Zero, Pace::Normal;
    Null "harness", "harness", Orders::Zero, Pace::Normal;
}

impl PeerId {
    /// Whether this is a published allocator. Ratios compare pageblock with the best of these.
    pub(crate) const fn competes(self) -> bool {
        !self.is_ours() && !matches!(self, Self::Floor | Self::Null)
    }

    /// Whether this is pageblock, in one of its modes.
    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursDefault)
    }
}

/// The orders that an allocator, or a workload, supports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Orders {
    /// Single frames only.
    Zero,
    /// At least 0 to 9.
    All,
}

/// The speed class of an allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// About as fast as the others.
    Normal,
    /// So slow that it gets shorter workloads.
    Slow,
}
