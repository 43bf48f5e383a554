//! Physical memory before there is an allocator.
//!
//! | file | what |
//! |---|---|
//! | `direct_map` | the mapping of all physical memory at one offset |
//! | `early` | the boot-time allocator: memory for what lives as long as the kernel |
//! | `root` | the kernel's top-level page table, whose upper half all address spaces share |
//! | `plugged` | the mapping of plugged memory, which joins the direct map and leaves it |

pub(crate) mod direct_map;
pub(crate) mod early;
pub(crate) mod plugged;
pub(crate) mod root;

pub(crate) use direct_map::{LOW_MEMORY_END, phys_to_virt};
