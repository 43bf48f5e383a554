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

// The floors, the ground floor first. A module imports only from floors above it in this list.
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

mod api;
pub mod interop;

pub mod guide;

// Memory: what every call names.
pub use base::frame_kind::FrameKind;
pub use base::geometry::{Geometry, X86_64};
pub use base::migratetype::{FreeKind, MigrateType, Mobility};
pub use base::order::Order;
pub use base::pfn::{PAGE_SIZE, Pfn, PfnRange};
pub use base::zone_kind::ZoneKind;

// What a kernel implements or hands over at boot.
pub use base::errors::{InitError, MapFull};
pub use base::guard_pages::GuardPages;
pub use base::platform::{CpuId, PcpAccess, Platform};
pub use boot::memory_map::MemoryMap;
pub use boot::metadata::Metadata;

// The allocator: requests, handles, and why a call was refused.
pub use base::request::{AllocRequest, Depth};
pub use handles::block::Pages;
pub use handles::exact::ExactPages;
pub use page_allocator::alloc::AllocError;
pub use page_allocator::allocator::PageAllocator;
pub use page_allocator::free_error::FreeError;
pub use page_allocator::tuning::Tuning;

// Isolation, migration and contiguous memory.
pub use base::errors::{NotFree, Obstacle, RangeError};
pub use base::migrate::{Migrate, MigrateError, Move, NoMigration};
pub use cma::area::{CmaArea, CmaStats};
pub use cma::error::CmaError;
pub use contig::contig_range::ContigRange;
pub use contig::empty::{ContigOptions, ContigStats};
pub use contig::error::ContigError;
pub use contig::search::ContigPlace;
pub use isolation::error::IsolateError;
pub use isolation::isolated_range::{FreeRange, IsolatedRange};

// Memory that comes and goes.
pub use hotplug::error::HotplugError;
pub use hotplug::hand_over::HandOverError;
pub use hotplug::notifier::{HotplugNotifier, NoNotifier, Veto};
pub use hotplug::offline::OfflineRange;

// Reports: what the reading methods return.
pub use inspect::audit::{AuditReport, Reading, ZoneAudit};
pub use inspect::block_counts::{BuddyInfo, PageTypeInfo, ZoneBlocks};
pub use inspect::figures::{MemInfo, ZoneFigures, ZoneInfo};
pub use inspect::verify::{VerifyReport, Violation, ZoneCensus};
pub use limits::watermarks::{Mark, Watermarks};

// For tests: historical mistakes, other accounting designs, and the interrupts of the models.
#[cfg(feature = "designs")]
pub use instruments::design::Design;
#[cfg(feature = "faults")]
pub use instruments::faults::{Faults, YieldHook, YieldPoint};
#[cfg(feature = "designs")]
pub use isolation::ledger::InUse;
#[cfg(loom)]
pub use sync::set_interrupt;
