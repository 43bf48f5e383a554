//! Floor 7: pcplists: free blocks that a CPU caches, so that most calls take no zone lock.
//!
//! Each CPU has a list for each order up to the pageblock order, each zone and each mobility. A
//! block on a list is not counted as free: the watermark check was made when it left the zone, so
//! that an allocation from the list needs none. An exception is a request that could use a higher
//! zone: the check may have been made for one that cannot, for which the zone keeps its lowmem
//! reserve. On the list of a lower zone, such a request makes the check again.
//!
//! All lists of all CPUs together hold at most an eighth of a zone
//! ([`PcpLimits`](crate::limits::PcpLimits)). That includes the lists of the *exchange*, which is
//! no CPU's: through it, batches of single pages go from a CPU that frees to one that allocates.
//!
//! # Why no page of an isolated pageblock stays on a list
//!
//! A free reads the pageblock's state while it has access to its CPU's lists, and caches the block
//! only if the pageblock is not isolated. An isolation first sets the isolated flag and then drains
//! the pcplists, for which it gets access to the lists of each CPU in turn. The block of a free
//! that had access before the drain is drained; a free that gets access after the drain reads the
//! flag. There is no third case. So when a drain returns, no page of a pageblock that was isolated
//! before it began is on a pcplist, and none is added until the undo. Nor does a block hide where
//! it moves from one list to another, through the exchange: that is done with access to the lists
//! of the CPU that moves it, and a drain empties the first list only when no CPU has access. (Linux
//! reads the state before it locks the list, so that a free can cache a page after the drain.)
//!
//! # Why a plain store is enough in a free
//!
//! In [owner-only](crate::PcpAccess::owner_only) mode a free changes the state of the block with a
//! load and a store, not with a compare-and-swap. No other owner can change it in between, because
//! a block has one owner. A *migration* does change it (it pins the block, with a
//! compare-and-swap), but only in pageblocks that it has isolated and drained. By the argument
//! above a free there reads the isolated flag and goes to the zone, where it uses a
//! compare-and-swap too. The target block of a migration is allocated in the pinned state, and the
//! fast path does not free pinned blocks.
//!
//! # What is atomic in locked mode
//!
//! An allocation and its free execute three locked instructions: each takes the lock of the lists,
//! and the free exchanges the state of the block. To release the lock is a plain store, and so is
//! the change of a state in an allocation, because a block on a list is the list's alone. The
//! exchange in the free cannot be a plain store as in owner-only mode: there a caller has promised
//! that no two frees of one block overlap in time if one of them goes to the zone. Without the
//! promise, the other could have merged the block with its buddies when the store makes it a cached
//! one, which is on a list and free at once.
//!
//! | file | what it has |
//! |---|---|
//! | [`list_id`] | [`ListId`]: the order and the slot of a list |
//! | [`biased_lock`] | which code may use the lists of a CPU |
//! | [`cpu_lists`] | [`CpuLists`]: the lists of one CPU |

mod biased_lock;
mod cpu_lists;
mod list_id;

pub(crate) use biased_lock::{Grant, OwnerGuard};
pub(crate) use cpu_lists::{CpuLists, Newest};
pub(crate) use list_id::ListId;
