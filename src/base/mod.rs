//! Floor 1: plain values, shared errors, and the traits that a kernel implements.
//!
//! The values have no shared state and take no lock. Every other floor imports from here.

mod errors;
mod frame_kind;
mod geometry;
mod guard_pages;
mod memory_use;
mod migrate;
mod migratetype;
mod order;
mod pageblock;
mod pcp_slot;
mod pfn;
mod platform;
mod request;
mod site;
mod trace;
mod zone_kind;

pub use errors::{InitError, MapFull, NotFree, Obstacle, RangeError};
pub use frame_kind::FrameKind;
pub(crate) use geometry::Checked;
pub use geometry::{Geometry, X86_64};
pub use guard_pages::GuardPages;
pub use memory_use::MemoryUse;
pub use migrate::{Migrate, MigrateError, Move, NoMigration};
pub use migratetype::{FreeKind, MigrateType, Mobility};
pub use order::Order;
pub(crate) use order::aligned_blocks;
pub(crate) use pageblock::Pageblock;
pub(crate) use pcp_slot::PcpSlot;
pub use pfn::{PAGE_SIZE, Pfn, PfnRange};
pub(crate) use platform::{Access, Masked};
pub use platform::{CpuId, PcpAccess, Platform, SingleThreaded};
pub use request::{AllocRequest, Depth};
pub use site::Site;
pub use trace::{Trace, TraceEvent};
pub use zone_kind::ZoneKind;
