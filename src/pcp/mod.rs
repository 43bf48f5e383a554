//! Pcplists: the blocks that a CPU keeps at hand, so that most calls never take the zone's lock.
//!
//! Each CPU has lists for every order up to a pageblock, by zone and mobility. Cached blocks have left the free count:
//! taking one needs no watermark check, because the check was made when it left the buddy.
//!
//! # Why an isolated block's pages cannot hide here
//!
//! A free reads the pageblock's state *behind the gate* and keeps the block only if no isolation
//! shows. An isolator sets the bit first and then drains, getting behind each CPU's gate in turn. A free that
//! was inside before the drain got in is drained; one that comes after it sees the bit. There is no
//! third case, so that when [`drain`] returns, no page of a block that was isolated before is on a pcplist, and
//! none gets there until the undo. (Linux reads the state before the lock: W2 in its list of open ends.)
//!
//! # Why a plain store may give up a block
//!
//! In [owner-only](crate::PcpAccess::owner_only) mode a free changes the block's state with a load and a store, not with a
//! compare-and-swap. Who else might change it in between? Not another owner: a block has one. A *mover* pins with a compare-and-swap, but
//! only blocks of a pageblock that it has isolated and drained, and by the above no free of such a block takes the plain way any more: it
//! sees the bit, goes to the zone, and meets the mover there in a compare-and-swap of its own. A block that is pinned elsewhere, as the
//! target of a migration, shows it in its state, and its free takes the same way round.
//!
//! Files: [`gate`] (who may touch a CPU's lists), [`lists`] (the lists), [`limits`] (how much they hold), [`fast`] (the
//! way through for nearly every call), [`drain`] (how others empty them). Neighbours:
//! [`zone`](crate::zone) for refill and spill.

pub(crate) mod drain;
mod fast;
mod gate;
pub(crate) mod limits;
mod lists;

pub(crate) use limits::PcpLimits;
pub(crate) use lists::{CpuLists, ListId, ListSlot};
