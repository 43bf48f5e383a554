#![doc = include_str!("../README.md")]
//!
//! ## Modules
//!
//! All public types are in the crate root. They form these groups: memory, which every call names;
//! what a kernel implements and provides at boot; the allocator; isolation, migration and
//! contiguous memory; hot-plug; reports; and what tests need. [`guide`] has a chapter for each
//! task, the invariants and the lock order. [`interop`] has the adapters to other crates.
//!
//! Sizes are in pages of 4096 bytes ([`PAGE_SIZE`]) unless an item says bytes. An item that takes
//! a lock, or time that grows with its input, says where it may be called. All others can be used
//! in any context.
//!
//! ### For readers of the source
//!
//! The folders of `src/` are floors. A file imports only from its own folder and from lower
//! floors, and there is no cycle of imports between files; a test fails on either.
//!
//! | floor | folder | what it is |
//! |---|---|---|
//! | 1 | `base` | plain values, shared errors, and the traits that a kernel implements |
//! | 2 | `sync` | locks and atomics, which the model checkers replace |
//! | 3 | `instruments` | historical mistakes and other designs that tests switch on |
//! | 4 | `limits` | arithmetic: watermarks, lowmem reserves, sizes of pcplists |
//! | 5 | `records` | the records of frames and pageblocks, in memory that the kernel provides, and which frames have any |
//! | 6 | `buddy` | the buddy system of one zone: its free blocks, and the page counters |
//! | 7 | `zone` | a zone's lock, watermark checks and atomic reserve |
//! | 7 | `pcp` | the pcplists of one CPU, and the lock that is biased to it |
//! | 8 | `boot` | the memory map, and the memory for the records |
//! | 9 | `page_allocator` | the allocator: the only place where a zone meets the pcplists |
//! | 10 | `handles` | handles that free their block when they are dropped |
//! | 11 | `isolation` | the isolation protocol: isolate, test, take |
//! | 12 | `contig` | contiguous allocation: isolate a range, migrate its pages, take it |
//! | 13 | `cma` | CMA areas |
//! | 13 | `reporting` | free page reporting: which free memory the host may take back |
//! | 13 | `hotplug` | offline and online, memory that is reserved or added late |
//! | 13 | `inspect` | audits, verification and reports |
//! | 14 | `api.rs` | the methods of [`PageAllocator`] that call floors 10 to 13 |
//! | 14 | `static_allocator.rs` | an allocator for a plain `static`, empty until it is initialised |
//! | 14 | `interop` | adapters to other crates |
//!
//! Where to start, with the files in the order in which a call goes through them:
//!
//! - **An order-0 allocation** takes a block from a pcplist: `page_allocator/alloc.rs`,
//!   `page_allocator/fast.rs`, `pcp/cpu_lists.rs`. If the list is empty, it is refilled from a
//!   zone: `page_allocator/alloc.rs`, `zone/alloc.rs` (watermarks), `buddy/fallback.rs` (which
//!   lists), `buddy/split.rs`, `buddy/counters.rs`.
//! - **A free** puts a block on a pcplist: `page_allocator/free.rs`, `page_allocator/fast.rs`,
//!   `pcp/cpu_lists.rs`. A full list spills to the zone, and blocks of order 10, of isolated
//!   pageblocks and of the atomic reserve go there at once: `page_allocator/free.rs`,
//!   `buddy/merge.rs`, `buddy/counters.rs`.
//! - **An isolation** marks the frames of the range, moves the free blocks of its pageblocks to
//!   isolated lists, and drains the pcplists: `api.rs`, `isolation/isolated_range.rs`,
//!   `records/isolated_frames.rs`, `buddy/retype.rs`, `buddy/counters.rs`,
//!   `page_allocator/drain.rs`.
//! - **A contiguous allocation** isolates, migrates, tests and takes: `api.rs`,
//!   `contig/contig_range.rs`, `contig/evacuate.rs`, `isolation/isolated_range.rs`,
//!   `contig/move_block.rs`, `isolation/isolated_range.rs` again, `buddy/carve.rs`.
//! - **A CMA allocation** claims bits of the area's bitmap, then goes on as a contiguous
//!   allocation: `cma/area.rs`, `cma/bitmap.rs`, `contig/evacuate.rs`.
//!
//! ## Glossary
//!
//! Terms of this crate, and the names of Linux for the same or the nearest thing.
//!
//! | term | in Linux | meaning |
//! |---|---|---|
//! | atomic reserve | `MIGRATE_HIGHATOMIC` | pageblocks that are kept for high-order atomic requests |
//! | bad frame | `PG_hwpoison`, soft offline | a frame that is never allocated again, because its memory has failed |
//! | biased lock | | the lock of a CPU's pcplists, which that CPU, its *owner*, takes with plain loads and stores in owner-only mode |
//! | block | buddy, page of order *n* | 2ⁿ frames at a multiple of 2ⁿ, free or allocated as a whole |
//! | cached | on a pcplist | the state of a block on a pcplist: neither free nor allocated |
//! | claim | `__rmqueue_claim` | a request gives a pageblock of another migratetype its own, and allocates there |
//! | deferred initialisation | `CONFIG_DEFERRED_STRUCT_PAGE_INIT` | the records of free memory are written when it is first used |
//! | drain | `drain_all_pages` | returns the blocks on all CPUs' pcplists to the zones |
//! | extent | online sections of `SPARSEMEM` | a run of frames that have records; frames outside all extents are holes without one |
//! | frame, page | page frame, `struct page` | 4096 bytes of physical memory; *page* in counts and names |
//! | free kind | free list type | the list that a pageblock's free blocks are on: its migratetype, or isolated |
//! | fullness group | fullness group of zsmalloc | pageblocks of one free kind with about as many free pages and the same largest free order |
//! | guard | `debug_guardpage_minorder` | a frame beside an allocated block that is kept off the free lists, to be unmapped |
//! | head, tail | head and tail page | the first frame of a block, which has the block's state; any other frame of it |
//! | isolate | `MIGRATE_ISOLATE`, `PB_migrate_isolate` | the free pages of pageblocks leave the free count and cannot be allocated |
//! | lowmem reserve | `lowmem_reserve` | pages that a low zone keeps from requests that could use a higher zone |
//! | migratetype | `migratetype` | what a pageblock's pages are for: movable, unmovable, reclaimable, CMA, high-atomic, movable-only |
//! | misfiled | | a free block on a list that is not its pageblock's; only with the feature `faults` |
//! | mobility | `gfp_migratetype` | whether the pages of a request can be moved: movable, unmovable, reclaimable |
//! | movable-only | `ZONE_MOVABLE`, `online_movable` | memory that only movable requests are served from, so that it can be unplugged |
//! | obstacle | unmovable page, `-EBUSY` | why a frame keeps a range from becoming free |
//! | offline | offline | memory that is present but not managed |
//! | order | `order` | the binary logarithm of the number of frames of a block |
//! | owner | | of a block: the code that allocated it; of pcplists: their CPU |
//! | pageblock | pageblock | 512 frames (2 MiB) with one migratetype; the unit of isolation |
//! | parked | | a page that was freed during an isolation and set aside; only under the design `Parked` |
//! | pcplist | pcplist, `per_cpu_pages` | a list of free blocks of one CPU, zone, order and mobility |
//! | pinned | | the state of an allocated block while it is being migrated. [`MigrateError::Pinned`] is the answer of an owner that cannot migrate for an unknown time (`FOLL_LONGTERM`). A contiguous allocation is pinned while a device accesses it (`FOLL_PIN`) |
//! | poison | `page_poison` | a pattern in freed pages, by which a write after the free is found |
//! | record | `struct page`, pageblock flags | what the allocator stores for a frame or a pageblock |
//! | refill | `rmqueue_bulk` | takes a batch of blocks from a zone to a pcplist |
//! | reported | `PageReported` | the mark of a free block whose memory the host has taken back; it goes with the allocation |
//! | reporting | `mm/page_reporting.c` | the state of a free block that is off the lists while the host is told of it |
//! | revoke, resume | | another CPU takes the owner's access to its pcplists away, and gives it back |
//! | site | `page_owner` | the place in the source where a block was allocated; feature `page_owner` |
//! | spill | `free_pcppages_bulk` | returns a batch of blocks from a full pcplist to its zone |
//! | stale entry | | an entry of a pcplist whose block is in another state; it is dropped when it is popped |
//! | steal | `__rmqueue_steal` | a request takes a block of another migratetype, whose pageblock keeps its type |
//! | watermark | `WMARK_MIN`, `_LOW`, `_HIGH` | free pages that requests must leave in a zone |
//! | zone | `struct zone` | memory that devices of one kind can reach: DMA, DMA32, Normal |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(any(test, loom, shuttle)), no_std)]

// The floors, the lowest first. A module imports only from lower floors.
mod base;

mod sync;

mod instruments;

mod limits;

mod records;

mod buddy;

mod pcp;
mod zone;

mod boot;

mod page_allocator;

mod handles;
mod isolation;

mod contig;

mod cma;
mod hotplug;
mod inspect;
mod reporting;

mod api;
pub mod interop;
mod static_allocator;

pub mod guide;

// Memory: what every call uses.
pub use base::{
    FrameKind, FreeKind, Geometry, MemoryUse, MigrateType, Mobility, Order, PAGE_SIZE, Pfn, PfnRange, X86_64,
    ZoneKind,
};

// What a kernel implements, or passes at boot.
pub use base::{CpuId, GuardPages, InitError, MapFull, PcpAccess, Platform, SingleThreaded};
pub use boot::{MemoryMap, Metadata};

// The allocator: requests, handles and errors.
pub use base::{AllocRequest, Depth};
pub use handles::{ExactPages, Pages};
pub use page_allocator::{AllocError, FreeBulkError, FreeError, PageAllocator, Tuning};
pub use static_allocator::StaticPageAllocator;

// Isolation, migration and contiguous memory.
pub use base::{Migrate, MigrateError, Move, NoMigration, NotFree, Obstacle, RangeError};
pub use cma::{CmaArea, CmaError, CmaStats};
pub use contig::{ContigError, ContigOptions, ContigPlace, ContigRange, ContigStats, PinError};
pub use isolation::{FreeRange, IsolateError, IsolatedRange};

// Hotplug, and memory that is reserved or added after boot.
pub use hotplug::{
    HandOverError, HotplugError, HotplugNotifier, NoNotifier, OfflineRange, RecordsError, RemovedRecords,
    SoftOffline, Veto,
};

// Free memory that the host may take back.
pub use reporting::{ReportBatch, ReportError, ReportOptions};

// Reports: what the reading methods return.
pub use buddy::ZoneEvents;
pub use inspect::{
    AllocatedBlock, AllocatedBlocks, AllocatedState, AuditReport, BuddyInfo, Census, CensusRow, MemInfo,
    PageTypeInfo, PageblockInfo, Pageblocks, Reading, VerifyReport, Violation, VmStat, ZoneAudit, ZoneBlocks,
    ZoneCensus, ZoneFigures, ZoneInfo,
};
pub use limits::{Mark, Watermarks};
pub use page_allocator::MachineEvents;

// Debugging: where blocks were allocated, writes after frees, and events as they happen.
pub use base::{Site, Trace, TraceEvent};
pub use records::WriteAfterFree;

// For tests: historical mistakes, accounting designs, and the interrupts of the models.
#[cfg(feature = "designs")]
pub use instruments::design::Design;
#[cfg(feature = "faults")]
pub use instruments::faults::{Faults, YieldHook, YieldPoint};
#[cfg(feature = "designs")]
pub use isolation::InUse;
#[cfg(loom)]
pub use sync::set_interrupt;
