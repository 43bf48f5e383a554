//! The trait through which the allocator reports what it does on its slow paths, event by event.
//!
//! Nothing is reported without the feature `trace`. What goes between an owner and a pcplist is no
//! event: the fast path reports nothing.

use crate::base::migrate::MigrateError;
use crate::base::migratetype::{MigrateType, Mobility};
use crate::base::order::Order;
use crate::base::pfn::{Pfn, PfnRange};
use crate::base::zone_kind::ZoneKind;

/// Something that the allocator did. [`name`](Self::name) has the name of the kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TraceEvent {
    /// A request got a block from its zone.
    ZoneAlloc {
        /// The first frame of the block.
        pfn: Pfn,
        /// The order of the block.
        order: Order,
        /// The mobility of the request.
        mobility: Mobility,
    },
    /// A block was freed to its zone by its owner.
    ZoneFree {
        /// The first frame of the block.
        pfn: Pfn,
        /// The order of the block.
        order: Order,
    },
    /// A refill moved blocks to a pcplist.
    Refill {
        /// The zone of the list.
        zone: ZoneKind,
        /// The order of the list.
        order: Order,
        /// The mobility of the list.
        mobility: Mobility,
        /// The number of blocks.
        blocks: usize,
    },
    /// A spill or a drain moved blocks from a pcplist to the zone.
    PcpReturn {
        /// The order of the list.
        order: Order,
        /// The mobility of the list.
        mobility: Mobility,
        /// The number of blocks.
        blocks: usize,
    },
    /// A request was served from pageblocks of another type.
    Fallback {
        /// The first frame of the block.
        pfn: Pfn,
        /// The order of the block.
        order: Order,
        /// The mobility of the request.
        mobility: Mobility,
        /// Whether a pageblock was claimed; else the block was stolen.
        claimed: bool,
    },
    /// A pageblock changed its type or its isolation.
    Pageblock {
        /// Its frames.
        range: PfnRange,
        /// The new type.
        migratetype: MigrateType,
        /// Whether it is isolated now.
        isolated: bool,
    },
    /// A part of a contiguous range was allocated: at most a pageblock.
    ContigAlloc {
        /// The frames.
        range: PfnRange,
    },
    /// A part of a contiguous range was freed: at most a pageblock.
    ContigFree {
        /// The frames.
        range: PfnRange,
    },
    /// A block was migrated. No lock is held.
    Migrated {
        /// The first frame of the block.
        from: Pfn,
        /// The first frame of the target.
        to: Pfn,
        /// The order of both.
        order: Order,
    },
    /// [`Migrate`](crate::Migrate) refused to migrate a block. No lock is held.
    NotMigrated {
        /// The first frame of the block.
        pfn: Pfn,
        /// The order of the block.
        order: Order,
        /// Why.
        error: MigrateError,
    },
    /// A request failed. No lock is held.
    AllocFailed {
        /// The order of the request.
        order: Order,
        /// The mobility of the request.
        mobility: Mobility,
    },
}

impl TraceEvent {
    /// The name of the kind of event: that of the tracepoint of Linux for the same or the nearest
    /// thing.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ZoneAlloc { .. } => "mm_page_alloc_zone_locked",
            Self::ZoneFree { .. } => "mm_page_free",
            Self::Refill { .. } => "mm_page_pcpu_refill",
            Self::PcpReturn { .. } => "mm_page_pcpu_drain",
            Self::Fallback { .. } => "mm_page_alloc_extfrag",
            Self::Pageblock { .. } => "mm_pageblock",
            Self::ContigAlloc { .. } => "mm_contig_alloc",
            Self::ContigFree { .. } => "mm_contig_free",
            Self::Migrated { .. } => "mm_migrate_pages",
            Self::NotMigrated { .. } => "mm_migrate_pages_fail",
            Self::AllocFailed { .. } => "mm_page_alloc_fail",
        }
    }
}

/// Receives the events of the allocator: with the feature `trace`, after
/// `PageAllocator::set_trace`.
pub trait Trace {
    /// Something has happened.
    ///
    /// Called on the CPU that did it, mostly with a zone's lock held and interrupts masked. It must
    /// not call the allocator, and must not wait: it writes the event to a buffer.
    fn event(&self, event: TraceEvent);
}
