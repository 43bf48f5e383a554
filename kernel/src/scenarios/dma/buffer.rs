//! Buffers as devices ask for them, and what a refusal says.

use core::fmt;

use pageblock::{
    CmaArea, CmaError, ContigError, ContigRange, FreeError, IsolateError, Mobility, Obstacle, PAGE_SIZE, Pfn,
    PfnRange,
};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::memory::allocator;
use crate::scenarios::auditing_migration::AuditingMigration;

/// The number of kinds of devices.
pub(super) const KINDS: usize = 5;

/// What a kind of device asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The sizes of its buffers, in bytes; powers of two times the first, up to the second.
    sizes: (u64, u64),
    /// In bytes. 0 is the size of the buffer.
    align: u64,
    /// The first address that it cannot reach.
    pub(super) below: u64,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl Kind {
    /// The kinds, for an area and a largest buffer of that size.
    pub(super) fn all(area: PfnRange, largest: u64) -> [Self; KINDS] {
        let middle = area.start_address() + area.len() as u64 / 2 * PAGE_SIZE;
        let new = |name, sizes: (u64, u64), align, below| {
            let sizes = (sizes.0.min(largest), sizes.1.min(largest));
            Self { name, sizes, align, below }
        };
        [
            new("ring", (64 * KIB, 64 * KIB), 64 * KIB, 1 << 32),
            new("network", (128 * KIB, 512 * KIB), PAGE_SIZE, u64::MAX),
            // Behind a bus that reaches half of the area.
            new("codec", (MIB, 4 * MIB), 128 * KIB, middle),
            new("camera", (2 * MIB, largest), 2 * MIB, u64::MAX),
            // 24 address bits: never in the area.
            new("isa", (64 * KIB, 256 * KIB), 0, 16 * MIB),
        ]
    }

    /// The size of a buffer, in bytes.
    pub(super) fn size(&self, rng: &mut SmallRng) -> u64 {
        let (least, most) = self.sizes;
        let doublings = (most / least).ilog2();
        least << rng.random_range(0..=doublings)
    }

    /// Allocates a buffer: from the area, if the device reaches it, and else from other memory.
    pub(super) fn alloc(&self, area: &CmaArea<'static>, bytes: u64) -> Result<PfnRange, Refusal> {
        let align = if self.align == 0 { bytes } else { self.align };
        let migrate = AuditingMigration::new();
        if self.below > area.range().start_address() {
            let taken = area.alloc_dma(allocator(), bytes as usize, self.below, align, &migrate);
            return taken.map_err(|error| Refusal::of_area(area.range(), &error));
        }
        let taken = allocator().alloc_dma(bytes as usize, self.below, align, &migrate);
        let reach = PfnRange::new(Pfn::new(0), Pfn::containing(self.below));
        taken.map(ContigRange::into_raw).map_err(|error| Refusal::of(reach, &error))
    }
}

/// Frees a buffer.
pub(super) fn free(area: &CmaArea<'static>, frames: PfnRange) {
    if let Err(error) = try_free(area, frames) {
        panic!("freeing the buffer {frames}: {error}");
    }
}

/// Frees a buffer unless that is refused.
pub(super) fn try_free(area: &CmaArea<'static>, frames: PfnRange) -> Result<(), FreeError> {
    if !area.range().covers(frames) {
        return allocator().free_range(frames);
    }
    match area.free(allocator(), frames) {
        Err(CmaError::Free(error)) => Err(error),
        Err(error) => panic!("freeing the buffer {frames}: {error}"),
        Ok(()) => Ok(()),
    }
}

/// Why there is no buffer: the frame that is in the way, and the reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) pfn: Pfn,
    pub(super) reason: Reason,
}

/// Why a frame is in the way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason {
    /// It does not become free.
    Obstacle(Obstacle),
    /// There is no memory to migrate it to.
    NoTarget,
    /// It is being isolated by another call.
    Isolated,
    /// All ranges are taken or have unmovable pages, of which this is the first.
    Taken,
    /// None: the error is about the request.
    Request,
}

impl Refusal {
    fn of_area(area: PfnRange, error: &CmaError) -> Self {
        match error {
            CmaError::Busy(error) => Self::of(area, error),
            CmaError::Full { .. } | CmaError::FullBelow { .. } => Self::first_taken(area),
            _ => Self { pfn: area.start(), reason: Reason::Request },
        }
    }

    fn of(within: PfnRange, error: &ContigError) -> Self {
        let new = |pfn, reason| Self { pfn, reason };
        match *error {
            ContigError::Busy { pfn, reason, .. }
            | ContigError::Isolate(IsolateError::Unmovable { pfn, reason }) => {
                new(pfn, Reason::Obstacle(reason))
            }
            ContigError::Isolate(IsolateError::Overlap { with, .. }) => new(with.start(), Reason::Isolated),
            ContigError::NoMemory { pfn, .. } => new(pfn, Reason::NoTarget),
            ContigError::NoPlace { .. } | ContigError::BelowMark { .. } => Self::first_taken(within),
            _ => new(within.start(), Reason::Request),
        }
    }

    /// The first block of `within` that cannot be migrated.
    fn first_taken(within: PfnRange) -> Self {
        let mut blocks = allocator().allocated_blocks();
        let taken =
            blocks.find(|block| within.contains(block.pfn) && block.mobility != Some(Mobility::Movable));
        let pfn = taken.map_or(within.start(), |block| block.pfn);
        Self { pfn, reason: Reason::Taken }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obstacle(obstacle) => obstacle.fmt(f),
            Self::NoTarget => f.write_str("no memory to migrate it to"),
            Self::Isolated => f.write_str("isolated by another call"),
            Self::Taken => f.write_str("the first of the blocks that leave no place"),
            Self::Request => f.write_str("the request cannot be met"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pfn, self.reason)
    }
}
