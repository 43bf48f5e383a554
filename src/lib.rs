#![doc = include_str!("../README.md")]
//!
//! ## Modules
//!
//! [`guide`] has a chapter for each thing that a kernel does with the allocator, the pictures, the invariants and the lock
//! order; [`interop`] the adapters to other crates. The types are all here.
//!
//! Sizes are in pages of 4096 bytes ([`PAGE_SIZE`]) unless an item says bytes. Items that take a lock, or time, say where they may be called; the
//! others read or make plain values, in any context.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(any(test, loom, shuttle)), no_std)]

mod audit;
mod block_area;
mod buddy;
mod cma;
mod contig;
mod contig_pages;
mod counters;
mod designs;
mod diagnostics;
mod error;
mod exact;
mod faults;
mod frame;
mod free_list;
mod geometry;
mod guard;
pub mod guide;
mod handle;
mod hotplug;
pub mod interop;
mod isolate;
mod mem_map;
mod memory_map;
mod metadata;
mod migrate;
mod migratetype;
mod order;
mod page_allocator;
mod pageblock;
mod pcp;
mod pfn;
mod platform;
mod request;
mod stats;
mod sync;
mod verify;
mod watermark;
mod zone;

pub use audit::{AuditReport, Reading, ZoneAudit};
pub use cma::{CmaArea, CmaError, CmaStats};
pub use contig::{ContigOptions, ContigRange, ContigStats};
pub use contig_pages::ContigPlace;
#[cfg(feature = "designs")]
pub use designs::{Design, InUse};
pub use error::{AllocError, BlockReason, ContigError, FreeError, InitError, IsolateError, RangeError};
pub use exact::ExactPages;
#[cfg(feature = "faults")]
pub use faults::{Faults, YieldHook, YieldPoint};
pub use frame::state::FrameKind;
pub use geometry::{Geometry, X86_64};
pub use guard::GuardPages;
pub use handle::Pages;
pub use hotplug::{HotplugError, HotplugNotifier, NoNotifier, OfflineRange, Veto};
pub use isolate::{FreeRange, IsolatedRange, NotFree};
pub use memory_map::{MapFull, MemoryMap};
pub use metadata::Metadata;
pub use migrate::{Migrate, MigrateError, Move, NoMigration};
pub use migratetype::{FreeKind, MigrateType, Mobility};
pub use order::Order;
pub use page_allocator::{HandOverError, PageAllocator, Tuning};
pub use pageblock::{BlockState, Isolation};
pub use pfn::{PAGE_SIZE, Pfn, PfnRange};
pub use platform::{CpuId, PcpAccess, Platform};
pub use request::{AllocRequest, Depth, ZoneKind};
pub use stats::{BuddyInfo, MemInfo, PageTypeInfo, ZoneBlocks, ZoneFigures, ZoneInfo};
#[cfg(loom)]
pub use sync::set_interrupt;
pub use verify::{VerifyReport, Violation, ZoneCensus};
pub use watermark::{Mark, Watermarks};
