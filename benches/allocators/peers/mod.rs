//! An adapter for each allocator. Allocators whose methods take `&mut self` are in a `spin::Mutex`.

pub(crate) mod branch;
pub(crate) mod buddy_slab;
pub(crate) mod buddy_system;
pub(crate) mod floor;
pub(crate) mod frame_alloc;
pub(crate) mod free_list;
pub(crate) mod null;
pub(crate) mod ours;
pub(crate) mod visit;
