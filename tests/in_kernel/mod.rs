//! The in-kernel test cases, compiled into the kernel and run by `tests/in_kernel.rs`.
//!
//! | file | what is tested |
//! |---|---|
//! | `machine` | CPUs, time, requests between CPUs |
//! | `interrupts` | that an interrupt leaves no trace in what it interrupted |
//! | `cma` | contiguous allocation out of the CMA area, and the jobs |
//! | `hotplug` | memory that goes offline and comes back |
//! | `space` | address spaces and migration |
//! | `translation` | page tables, shootdown, the page fault hook |
//! | `memory` | the allocator on the real machine |
//! | `misuse` | wrong calls of the allocator |
//! | `bad` | nothing: cases that end badly on purpose, for the tests of the runner |

mod bad;
mod cma;
mod hotplug;
mod interrupts;
mod machine;
mod memory;
mod misuse;
mod space;
mod translation;
