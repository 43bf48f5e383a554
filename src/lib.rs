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

mod api;
pub mod interop;

pub mod guide;

// Memory: what every call uses.
pub use base::{
    FrameKind, FreeKind, Geometry, MigrateType, Mobility, Order, PAGE_SIZE, Pfn, PfnRange, X86_64, ZoneKind,
};

// What a kernel implements, or passes at boot.
pub use base::{CpuId, GuardPages, InitError, MapFull, PcpAccess, Platform};
pub use boot::{MemoryMap, Metadata};

// The allocator: requests, handles and errors.
pub use base::{AllocRequest, Depth};
pub use handles::{ExactPages, Pages};
pub use page_allocator::{AllocError, FreeError, PageAllocator, Tuning};

// Isolation, migration and contiguous memory.
pub use base::{Migrate, MigrateError, Move, NoMigration, NotFree, Obstacle, RangeError};
pub use cma::{CmaArea, CmaError, CmaStats};
pub use contig::{ContigError, ContigOptions, ContigPlace, ContigRange, ContigStats};
pub use isolation::{FreeRange, IsolateError, IsolatedRange};

// Hotplug, and memory that is reserved or added after boot.
pub use hotplug::{HandOverError, HotplugError, HotplugNotifier, NoNotifier, OfflineRange, Veto};

// Reports: what the reading methods return.
pub use inspect::{
    AuditReport, BuddyInfo, MemInfo, PageTypeInfo, Reading, VerifyReport, Violation, ZoneAudit, ZoneBlocks,
    ZoneCensus, ZoneFigures, ZoneInfo,
};
pub use limits::{Mark, Watermarks};

// For tests: historical mistakes, accounting designs, and the interrupts of the models.
#[cfg(feature = "designs")]
pub use instruments::design::Design;
#[cfg(feature = "faults")]
pub use instruments::faults::{Faults, YieldHook, YieldPoint};
#[cfg(feature = "designs")]
pub use isolation::InUse;
#[cfg(loom)]
pub use sync::set_interrupt;
