//! The hosted tests: the allocator on machines made of numbers, as an ordinary program.
//!
//! They are one program, because a program costs a link and a copy of the allocator for each
//! geometry. A test shares the process with all others: it must not set anything that belongs to
//! the process, or only for its own thread.
//!
//! | module | what is tested |
//! |---|---|
//! | `alloc`, `exact`, `handle`, `pcp`, `fallback`, `zones` | allocation and free |
//! | `free_range`, `owner_word`, `in_use` | one call to free; shared frames; pages in use, refused frees |
//! | `atomic_reserve`, `guard`, `fullest_first`, `local_pageblocks` | reserve, guard pages, which free page is taken |
//! | `isolate`, `migrate`, `contig`, `contig_pages`, `pin` | isolation and contiguous allocation |
//! | `cma`, `hotplug` | CMA areas; memory that goes offline and comes back |
//! | `movable_only` | memory that is plugged and unplugged |
//! | `hwpoison` | bad frames, and how they are retired |
//! | `init`, `boot_memory`, `fresh`, `geometry`, `static_allocator` | from a memory map to an allocator |
//! | `sparse` | memory with holes, near and far: real maps and random ones |
//! | `added_records`, `removed_records` | records that are made late, in given memory or in what they are for, and removed |
//! | `counters`, `stats`, `vmstat`, `invariants`, `api` | what can be read, and what always holds |
//! | `allocated` | walks of the allocated blocks and the pageblocks; owner words of ranges |
//! | `page_owner` | where blocks were allocated, with the feature of that name |
//! | `trace` | events as they happen, with the feature of that name |
//! | `poison` | writes after free |
//! | `reporting` | free memory that the host may take back |
//! | `misuse` | every error that there is |
//! | `edges` | numbers without limits, small stacks, promises that safe code must not use |
//! | `lies` | safe traits that are implemented wrongly |
//! | `interleaved` | a race of two CPUs, at a place that is the same in each run |
//! | `reference_model` | random operations against a naive model, with proptest; `tests/fuzz` has it too |
//! | `stress` | threads that do everything at once |

mod added_records;
mod alloc;
mod allocated;
mod api;
mod atomic_reserve;
mod boot_memory;
mod cma;
mod contig;
mod contig_cost;
mod contig_pages;
mod counters;
mod edges;
mod exact;
mod exchange;
mod fallback;
mod free_range;
mod fresh;
mod fullest_first;
mod geometry;
mod guard;
mod handle;
mod hotplug;
mod hwpoison;
mod in_use;
mod init;
mod interleaved;
mod invariants;
mod isolate;
mod lies;
mod local_pageblocks;
mod migrate;
mod misuse;
mod movable_only;
mod owner_word;
#[cfg(feature = "page_owner")]
mod page_owner;
mod pcp;
mod pin;
mod poison;
mod reference_model;
mod removed_records;
mod reporting;
mod reserves;
mod sparse;
mod static_allocator;
mod stats;
mod stress;
mod support;
#[cfg(feature = "trace")]
mod trace;
mod vmstat;
mod zones;
