//! An adapter for each allocator. Those whose methods take `&mut self` are in a `spin::Mutex`, as their users put them.

pub(crate) mod buddy_slab;
pub(crate) mod buddy_system;
pub(crate) mod floor;
pub(crate) mod frame_alloc;
pub(crate) mod free_list;
pub(crate) mod null;
pub(crate) mod ours;
