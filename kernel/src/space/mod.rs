//! Address spaces with real page tables, and the migration of the pages that are mapped in them.
//!
//! | file | what |
//! |---|---|
//! | `vpage` | the number of a page in an address space |
//! | `entry` | a page table entry of a user page |
//! | `frame` | the contents of a frame, as words |
//! | `contents` | test patterns, by which lost and swapped pages are noticed |
//! | `owner` | the word by which migration finds the page table entry of a frame |
//! | `pages` | allocate and free, counted |
//! | `tables` | the page tables of an address space |
//! | `address_space` | map, unmap, flush, and the lock that migration takes as well |
//! | `active` | an address space in use: its root in CR3, its pages read and written, page faults |
//! | `migrate` | the kernel's implementation of [`pageblock::Migrate`] |

mod active;
mod address_space;
pub(crate) mod contents;
mod entry;
pub(crate) mod frame;
mod migrate;
mod owner;
pub(crate) mod pages;
mod tables;
mod vpage;

pub(crate) use active::{Active, init};
pub(crate) use address_space::{AddressSpace, SpaceError};
pub(crate) use entry::EntryState;
pub(crate) use migrate::{Migration, pages_migrated};
pub(crate) use vpage::VPage;
