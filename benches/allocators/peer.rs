//! What every allocator under measurement is asked to do: [`Peer`], and the list of those that are measured.
//!
//! Frames and orders are the library's own types: each is one machine word that costs nothing to convert. Neighbours:
//! `peers/` has an adapter for each allocator, [`roi`](crate::roi) the functions whose instructions are counted.

use pageblock::{Mobility, Order, Pfn};

use crate::arena::Arena;

/// An allocator of `FRAMES` page frames, without their contents.
pub(crate) trait Peer: Sync + Sized {
    /// Which allocator this is.
    const ID: PeerId;

    /// An allocator whose frames are all free. `arena` is fresh: nothing in it has been touched.
    fn new(arena: Arena) -> Self;

    /// The first of its frames, in its own numbering.
    fn first_frame(&self) -> Pfn;

    /// A naturally aligned block.
    fn alloc(&self, order: Order, mobility: Mobility) -> Option<Pfn>;

    /// Takes a block back that [`alloc`](Self::alloc) gave with this order.
    fn free(&self, pfn: Pfn, order: Order);

    /// As [`free`](Self::free), for a block that it may be wrong to free.
    fn try_free(&self, pfn: Pfn, order: Order) -> Result<(), Refused> {
        self.free(pfn, order);
        Ok(())
    }

    /// Bytes of records, all of them; `None` if they lie on a heap and grow with use.
    fn metadata_bytes(&self) -> Option<usize>;
}

/// The allocator said no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused;

macro_rules! peers {
    ($($id:ident $type:path, $key:literal, $title:literal, $orders:expr, $pace:expr;)*) => {
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

            /// Which blocks it has.
            pub(crate) const fn orders(self) -> Orders {
                match self { $(Self::$id => $orders,)* }
            }

            /// Whether workloads have to be shortened for it.
            pub(crate) const fn pace(self) -> Pace {
                match self { $(Self::$id => $pace,)* }
            }

            /// Does something with the adapter of this name.
            pub(crate) fn visit<V: Visitor>(self, visitor: V) -> V::Output {
                match self { $(Self::$id => visitor.visit::<$type>(),)* }
            }
        }
    };
}

peers! {
    Ours crate::peers::ours::Ours, "ours", "pageblock", Orders::All, Pace::Brisk;
    Summary crate::peers::frame_alloc::Summary, "frame-alloc", "frame-alloc", Orders::All, Pace::Brisk;
    Depot crate::peers::frame_alloc::Depot, "depot", "with Depot", Orders::All, Pace::Brisk;
    BuddySlab crate::peers::buddy_slab::BuddySlab, "buddy-slab", "buddy-slab", Orders::All, Pace::Brisk;
    BuddySystem crate::peers::buddy_system::BuddySystem, "buddy-system", "buddy_system", Orders::All, Pace::Brisk;
    FreeList crate::peers::free_list::FreeList, "free-list", "free-list", Orders::All, Pace::Slow;
    Floor crate::peers::floor::Floor, "floor", "floor", Orders::Zero, Pace::Brisk;
    Null crate::peers::null::Null, "harness", "harness", Orders::Zero, Pace::Brisk;
}

impl PeerId {
    /// Whether this is an allocator that someone could use in place of another: ratios are to the best of these.
    pub(crate) const fn competes(self) -> bool {
        !matches!(self, Self::Ours | Self::Floor | Self::Null)
    }
}

/// Which orders an allocator serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Orders {
    /// Single frames only.
    Zero,
    /// At least 0 to 9.
    All,
}

/// How long an allocator takes for what others do in a microsecond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// About as long.
    Brisk,
    /// So long that it is measured on less.
    Slow,
}

/// Something to do with an adapter, whichever it is.
pub(crate) trait Visitor {
    type Output;
    fn visit<P: Peer>(self) -> Self::Output;
}
