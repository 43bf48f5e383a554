//! Floor 6: the buddy system of one zone: its free blocks, and the counters of its pages.
//!
//! Everything here runs with the zone's lock held. Which list a block joins is computed from the
//! state of its pageblock at that moment.
//!
//! | file | what it does |
//! |---|---|
//! | [`free_block`] | the token of a block that is on no list |
//! | [`counters`] | the page counts, and the functions that change them |
//! | [`fullness`] | groups of pageblocks by how many of their pages are free |
//! | [`deferred_ranges`] | the ranges whose records have not been written yet |
//! | [`misfiled`], [`parking`] | lists that only faults and experimental designs use |
//! | [`lists`] | [`Buddy`](lists::Buddy): inserts blocks into lists and removes them |
//! | [`legacy`] | what old kernels did, for the faults |
//! | [`merge`] | a block is freed: merged with its buddies |
//! | [`deferred_init`] | memory whose records are written at its first use |
//! | [`split`] | a block of one type is wanted: found and split |
//! | [`retype`] | a pageblock changes its state, and its free blocks their list |
//! | [`fallback`] | which types' lists serve a request, in which order |
//! | [`carve`] | a given range of free frames is taken |
//! | [`walk`] | every block on every list, for audits |

mod carve;
mod counters;
mod deferred_init;
mod deferred_ranges;
mod fallback;
mod free_block;
mod fullness;
mod legacy;
mod lists;
mod merge;
mod misfiled;
mod parking;
mod retype;
mod split;
mod walk;

pub(crate) use carve::Taken;
pub(crate) use counters::{Change, Counters, Pool};
pub(crate) use fallback::Wanted;
pub(crate) use free_block::FreeBlock;
pub(crate) use lists::Buddy;
