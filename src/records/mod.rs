//! Floor 5: the records of frames and pageblocks, in memory that the kernel gives.
//!
//! [`frame_table`] holds a state and a word for each frame; [`pageblock_map`] a state, a summary and
//! a tree of free blocks for each pageblock; [`descriptors`] joins the two. The records are atomics,
//! so that every floor above is safe code: a race is at worst a wrong number.

pub(crate) mod buddy_tree;
pub(crate) mod descriptors;
pub(crate) mod frame_state;
pub(crate) mod frame_table;
pub(crate) mod free_list;
pub(crate) mod guard_hook;
pub(crate) mod pageblock_map;
pub(crate) mod pageblock_state;
