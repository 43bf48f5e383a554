//! The adapter type of each allocator.

use crate::peer::{Peer, PeerId};
use crate::peers::branch::Branch;
use crate::peers::buddy_slab::BuddySlab;
use crate::peers::buddy_system::BuddySystem;
use crate::peers::floor::Floor;
use crate::peers::frame_alloc::{Depot, Summary};
use crate::peers::free_list::FreeList;
use crate::peers::null::Null;
use crate::peers::ours::{Locked, Ours, OwnerOnly};

/// A generic function of the adapter type.
pub(crate) trait Visitor {
    type Output;
    fn visit<P: Peer>(self) -> Self::Output;
}

/// Calls the visitor with the adapter of this allocator.
pub(crate) fn visit<V: Visitor>(peer: PeerId, visitor: V) -> V::Output {
    match peer {
        PeerId::Ours => visitor.visit::<Ours<OwnerOnly>>(),
        PeerId::OursDefault => visitor.visit::<Ours<Locked>>(),
        PeerId::Summary => visitor.visit::<Summary>(),
        PeerId::Depot => visitor.visit::<Depot>(),
        PeerId::BuddySlab => visitor.visit::<BuddySlab>(),
        PeerId::BuddySystem => visitor.visit::<BuddySystem>(),
        PeerId::Branch => visitor.visit::<Branch>(),
        PeerId::FreeList => visitor.visit::<FreeList>(),
        PeerId::Floor => visitor.visit::<Floor>(),
        PeerId::Null => visitor.visit::<Null>(),
    }
}
