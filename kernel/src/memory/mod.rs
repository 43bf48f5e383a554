//! The page allocator of this kernel.
//!
//! | file | what |
//! |---|---|
//! | `platform` | what the allocator needs from the kernel |
//! | `stopwatch` | a platform that measures for how long interrupts are masked |
//! | `page_allocator` | the allocator and its CMA area, made once from the boot memory map |

pub(crate) mod page_allocator;
pub(crate) mod platform;
pub(crate) mod stopwatch;

pub(crate) use page_allocator::{Block, ManyCpus, allocator, cma, default_mode, managed_bytes, many_cpus};
