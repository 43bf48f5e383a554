//! Floor 5: the records of page frames and pageblocks, in memory that the kernel gives.
//!
//! [`extents`] says which frames have records, and which index; [`added`] has the records that are
//! added after boot. [`frame_table`] has a state and a word for each of these frames, of which
//! [`unwritten`] says where no state has been written yet; [`blocks`] walks them.
//! [`pageblock_map`] has a state, a summary and a tree of free blocks for each pageblock, and
//! [`pageblock_records`] all records of one;
//! [`isolated_frames`] a bit for each frame, [`page_owner`] a word for each frame with the feature
//! of that name. [`descriptors`] joins them. All records are atomics, so that the floors above are
//! safe code: a data race is at worst a wrong number.

mod added;
mod blocks;
mod buddy_tree;
mod cells;
mod descriptors;
mod extent;
mod extents;
mod frame_index;
mod frame_state;
mod frame_table;
mod free_list;
mod free_places;
mod guard_hook;
mod hwpoison;
mod isolated_frames;
mod local_cpu;
#[cfg_attr(not(feature = "page_owner"), path = "page_owner_off.rs")]
mod page_owner;
mod pageblock_map;
mod pageblock_records;
mod pageblock_state;
mod poison;
mod site_cell;
mod trace_hook;
mod unwritten;

pub(crate) use added::{Added, Chunk, Directory, Withdrawn};
pub(crate) use blocks::Found;
#[cfg(all(test, not(loom)))]
pub(crate) use buddy_tree::testing::Trees;
pub(crate) use buddy_tree::{BuddyTree, FreeBlocks, Node, PageblockSummary, TreeWord};
pub(crate) use cells::{StateCell, WordCell};
pub(crate) use descriptors::Descriptors;
pub(crate) use extent::Extent;
pub(crate) use extents::Extents;
pub(crate) use frame_index::FrameIndex;
pub(crate) use frame_state::{FrameState, Migration};
pub(crate) use frame_table::{FrameRecord, FrameTable};
pub(crate) use free_list::FreeList;
pub(crate) use free_places::FreePlaces;
pub(crate) use guard_hook::GuardHook;
pub(crate) use isolated_frames::IsolatedFrames;
pub(crate) use local_cpu::LocalCpu;
pub(crate) use page_owner::PageOwners;
pub(crate) use pageblock_map::PageblockMap;
pub(crate) use pageblock_records::PageblockRecords;
pub(crate) use pageblock_state::{Isolation, PageblockCell, PageblockState};
pub(crate) use poison::Poison;
pub use poison::WriteAfterFree;
pub(crate) use site_cell::SiteCell;
pub(crate) use trace_hook::TraceHook;
pub(crate) use unwritten::Unwritten;
