//! The hosted tests: the allocator on machines made of numbers, as an ordinary program.
//!
//! They are one program, because a program costs a link and a copy of the allocator for each
//! geometry. A test shares the process with all others: it must not set anything that belongs to
//! the process, or only for its own thread.
//!
//! | module | what is tested |
//! |---|---|
//! | `alloc`, `exact`, `handle`, `pcp`, `fallback`, `zones` | allocation and free |
//! | `atomic_reserve`, `guard`, `fullest_first` | reserve, guard pages, which free page is taken |
//! | `isolate`, `migrate`, `contig`, `contig_pages` | isolation and contiguous allocation |
//! | `cma`, `hotplug` | CMA areas; memory that goes offline and comes back |
//! | `init`, `fresh`, `geometry` | from a memory map to an allocator |
//! | `allocated` | walks of the allocated blocks and the pageblocks; owner words of ranges |
//! | `counters`, `stats`, `vmstat`, `invariants`, `api` | what can be read, and what always holds |
//! | `misuse` | every error that there is |
//! | `edges` | numbers without limits, small stacks, promises that safe code must not use |
//! | `interleaved` | a race of two CPUs, at a place that is the same in each run |
//! | `reference_model` | random operations against a naive model, with proptest |
//! | `stress` | threads that do everything at once |

mod alloc;
mod allocated;
mod api;
mod atomic_reserve;
mod cma;
mod contig;
mod contig_cost;
mod contig_pages;
mod counters;
mod edges;
mod exact;
mod fallback;
mod fresh;
mod fullest_first;
mod geometry;
mod guard;
mod handle;
mod hotplug;
mod init;
mod interleaved;
mod invariants;
mod isolate;
mod migrate;
mod misuse;
mod pcp;
mod reference_model;
mod reserves;
mod stats;
mod stress;
mod support;
mod vmstat;
mod zones;
