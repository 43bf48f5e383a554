//! Floor 5: the records of page frames and pageblocks, in memory that the kernel gives.
//!
//! [`frame_table`] has a state and a word for each frame. [`pageblock_map`] has a state, a summary
//! and a tree of free blocks for each pageblock, [`isolated_frames`] a bit for each frame,
//! [`page_owner`] a word for each frame with the feature of that name.
//! [`descriptors`] joins them. All records are
//! atomics, so that the floors above are safe code: a data race is at worst a wrong number.

mod buddy_tree;
mod descriptors;
mod frame_state;
mod frame_table;
mod free_list;
mod guard_hook;
mod isolated_frames;
#[cfg_attr(not(feature = "page_owner"), path = "page_owner_off.rs")]
mod page_owner;
mod pageblock_map;
mod pageblock_state;
mod poison;
mod trace_hook;

#[cfg(all(test, not(loom)))]
pub(crate) use buddy_tree::testing::Trees;
pub(crate) use buddy_tree::{BuddyTree, Node, PageblockSummary, TreeWord};
pub(crate) use descriptors::Descriptors;
pub(crate) use frame_state::{FrameState, Migration};
pub(crate) use frame_table::{FrameIndex, FrameRecord, FrameTable, StateCell, WordCell};
pub(crate) use free_list::FreeList;
pub(crate) use guard_hook::GuardHook;
pub(crate) use isolated_frames::IsolatedFrames;
pub(crate) use page_owner::{PageOwners, SiteCell};
pub(crate) use pageblock_map::PageblockMap;
pub(crate) use pageblock_state::{Isolation, PageblockCell, PageblockState};
pub(crate) use poison::Poison;
pub use poison::WriteAfterFree;
pub(crate) use trace_hook::TraceHook;
