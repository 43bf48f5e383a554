//! Floor 7: pcplists: the blocks that a CPU keeps, so that most calls never take a zone's lock.
//!
//! Each CPU has lists for every order up to a pageblock, by zone and mobility. Cached blocks have
//! left the free count: taking one needs no watermark check, because the check was made when it
//! left the buddy.
//!
//! # Why no page of an isolated pageblock stays on a list
//!
//! A free reads the pageblock's state while it has access to its CPU's lists, and caches the block
//! only if the pageblock is not isolated. An isolation sets the isolated flag first and then
//! drains, getting access to each CPU's lists in turn. A free that had access before the drain is
//! drained; one that gets it after the drain sees the flag. There is no third case. So when a drain
//! returns, no page of a pageblock that was isolated before it began is on a pcplist, and none gets
//! there until the undo. (Linux reads the state before it locks the list: W2 in its list of open
//! problems.)
//!
//! # Why a plain store may give up a block
//!
//! In [owner-only](crate::PcpAccess::owner_only) mode a free changes the block's state with a load
//! and a store, not with a compare-and-swap. Another owner cannot change it in between, because a
//! block has one owner. A *migration* pins a block with a compare-and-swap, but only blocks of a
//! pageblock that it has isolated and drained, and by the argument above no free of such a block
//! takes the fast path any more: it sees the flag, frees to the zone, and meets the migration there
//! in a compare-and-swap of its own. The target of a migration is pinned from its allocation on;
//! its state shows that, and its free takes the slow path too.
//!
//! | file | what it has |
//! |---|---|
//! | [`list_id`] | which list: order and slot |
//! | [`biased_lock`] | who may use a CPU's lists |
//! | [`hot_slot`] | the block that was freed last, outside the array |
//! | [`cpu_lists`] | the lists of one CPU |

mod biased_lock;
mod cpu_lists;
mod hot_slot;
mod list_id;

pub(crate) use cpu_lists::CpuLists;
pub(crate) use list_id::ListId;
