//! From bytes to a machine and the steps on it: the one generator, for proptest and for a fuzzer.
//!
//! Any bytes will do, and a change of a byte changes one number of one step.

use pageblock::{Geometry, Order};

use super::steps::Step;
use crate::support::{Builder, frames};

/// The bytes of a [`Setup`].
pub(crate) const SETUP: usize = 35;
/// The bytes of a step.
pub(crate) const STEP: usize = 6;

/// How a machine is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Pages that are kept back at the min watermark.
    pub(crate) min: usize,
    /// The order below which leftover halves are guards.
    pub(crate) guards: u8,
    /// The percentage of free pages above which CMA is used first.
    pub(crate) cma: u8,
    pub(crate) cpus: usize,
    /// Some owners are busy when they are first asked to move.
    pub(crate) busy_owners: bool,
    /// Freed pages are filled, and looked at when they are allocated.
    pub(crate) poison: bool,
    /// The machine is full of movable pages at first.
    pub(crate) full: bool,
    /// Bits of the kinds of steps that are not made ([`Step::kind`]). Some are rare together only
    /// because all others are made as well.
    pub(crate) without: u16,
    /// Other CPUs make calls between the lock holds of a step.
    pub(crate) others: bool,
    /// Memory that is anywhere; otherwise it has the shape of the test.
    pub(crate) wild: Option<Wild>,
}

/// Memory and reserved frames anywhere below `end`, overlapping or not: start, length and whether
/// it is memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wild {
    end: usize,
    ranges: [(u8, u8, bool); 8],
    len: usize,
}

impl Setup {
    /// The machine of these bytes. With `wild` its memory is anywhere below that frame.
    pub(crate) fn decode(bytes: [u8; SETUP], wild: Option<usize>) -> Self {
        // Half of them have no watermark, and half have no guards.
        let often = |byte: u8, most: u8| if byte % 2 == 1 { 1 + byte / 2 % most } else { 0 };
        let mut ranges = [(0, 0, false); 8];
        for (range, bytes) in ranges.iter_mut().zip(bytes[8..32].chunks_exact(3)) {
            *range = (bytes[0], bytes[1], bytes[2] % 4 != 3);
        }
        Self {
            min: usize::from(often(bytes[0], 19)),
            guards: often(bytes[1], 3),
            cma: bytes[2] % 101,
            cpus: 1 + usize::from(bytes[3] % 3),
            busy_owners: bytes[5] % 2 == 1,
            poison: bytes[6] % 4 == 3,
            full: bytes[7] % 4 == 3,
            others: false,
            // Half of the machines do everything.
            without: if bytes[34] % 2 == 1 { u16::from_le_bytes([bytes[32], bytes[33]]) } else { 0 },
            wild: wild.map(|end| Wild { end, ranges, len: 1 + usize::from(bytes[4] % 8) }),
        }
    }

    /// Whether the step is made.
    pub(crate) fn has(&self, step: Step) -> bool {
        step.kind().is_none_or(|kind| self.without >> kind & 1 == 0)
    }

    /// The machine, with memory of this shape unless it has one of its own. None without memory.
    pub(crate) fn machine<G: Geometry>(&self, shape: &Builder) -> Option<Builder> {
        let memory = self.wild.map_or_else(|| shape.clone(), Wild::memory);
        let guards = Order::new(self.guards).min(G::MAX_ORDER);
        (memory.usable_frames() > 0).then(|| {
            memory
                .cpus(self.cpus)
                .min_free(self.min)
                .tune(|tuning| tuning.guard_below(guards).cma_first_above(self.cma))
        })
    }
}

impl Wild {
    fn memory(self) -> Builder {
        let Self { end, ranges, len } = self;
        ranges[..len].iter().fold(frames(&[(end - 1, end)]), |memory, &(start, len, usable)| {
            // The ranges are in proportion to `end`, which may be above 256.
            let start = usize::from(start) * end / 256;
            let last = (start + 1 + usize::from(len) * end / 512).min(end);
            if usable { memory.add(start, last) } else { memory.reserve(start, last) }
        })
    }
}

impl Step {
    /// The step of these bytes.
    pub(crate) fn decode([kind, a, b, c, d, e]: [u8; STEP]) -> Self {
        let (x, y) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let z = u16::from(e);
        // Every second one is movable.
        let mobility = |byte: u8| [0, 1, 2, 1][usize::from(byte % 4)];
        match kind {
            0..28 => Self::Alloc { order: a % 12, mobility: mobility(b), zone: c % 3, depth: d % 3 },
            28..36 => Self::Fill { order: a % 4, mobility: mobility(b), depth: c % 3, most: d % 64 },
            36..60 => Self::Free(x),
            60..62 => Self::BadFree { place: x, order: c % 13 },
            62..64 => Self::AddRecords { below: a, len: b, too_small: c % 8 == 7 },
            64..66 => Self::RemoveRecords { at: x, len: y },
            66..76 => Self::Isolate { at: x, len: y },
            76..85 => Self::Undo(x),
            85..90 => Self::Test(x),
            90..100 => Self::TakeContig { at: x, len: y, hard: e },
            100..108 => Self::FreeContig { which: z, from: x, len: y },
            108..113 => Self::TakeCma { len: x, align: c % 4 },
            113..115 => Self::TakeCmaDma { bytes: x, below: y, align: e },
            115..122 => Self::ReleaseCma { which: z, from: x, len: y },
            122..124 => Self::NewArea { at: x, len: y },
            124..128 => Self::Drain,
            128..132 => Self::Reserve { at: x, len: y },
            132..138 => Self::Add { at: x, len: y, movable_only: e % 4 == 3 },
            138..144 => Self::Offline { at: x, listener: e },
            144..150 => Self::OfflineRange { at: x, len: y, listener: e },
            150..155 => Self::Online { which: x, listener: e },
            155..161 => Self::ByNumber { at: x, len: y, call: e },
            161..167 => Self::Replug(x, e % 2 == 1),
            167..173 => Self::SoftOffline(x),
            173..181 => Self::FreePart { number: z, from: x, len: y },
            181..189 => Self::Report {
                blocks: 1 + a % 39,
                hand_over: b % 40,
                acknowledged: c % 2 == 1,
                wait: c % 4 > 1,
            },
            189..194 => Self::AllocBulk { order: a % 4, mobility: mobility(b), depth: c % 3, blocks: d % 24 },
            194..200 => Self::FreeBulk { number: x, blocks: c % 24, bad: e },
            200..206 => Self::AllocExact { pages: x, align: c % 6, mobility: d % 3, depth: e % 3 },
            206..211 => Self::FreeExact { which: x, at: x, len: y },
            211..217 => Self::FreeRange { at: x, len: y, contig: e % 2 == 1 },
            217..222 => Self::Split { number: x, into: c % 12 },
            222..228 => Self::Pin { which: z, at: x, len: y },
            228..233 => Self::Unpin { which: z, at: x, len: y },
            233..238 => Self::ContigPages { pages: x, align: c % 5, below: d },
            238..241 => Self::Dma { bytes: x, below: y, align: e },
            241..243 => Self::OwnerWord { number: x, by: y },
            243..245 => Self::RangeOwner { which: z, at: x, len: y },
            245.. => Self::Cpu(a),
        }
    }

    /// The kind of operation, for [`Setup::without`]. Those without a number are always made.
    pub(crate) const fn kind(self) -> Option<u32> {
        Some(match self {
            Self::Alloc { .. } | Self::Free(_) => return None,
            Self::Fill { .. } | Self::AllocBulk { .. } | Self::FreeBulk { .. } => 0,
            Self::AllocExact { .. } | Self::FreeExact { .. } => 1,
            Self::FreePart { .. } | Self::FreeRange { .. } | Self::Split { .. } => 2,
            Self::Isolate { .. } | Self::Undo(_) | Self::Test(_) => 3,
            Self::TakeContig { .. } | Self::ContigPages { .. } | Self::Dma { .. } => 4,
            Self::FreeContig { .. } => 5,
            Self::TakeCma { .. } | Self::TakeCmaDma { .. } | Self::ReleaseCma { .. } => 6,
            Self::NewArea { .. } | Self::Pin { .. } | Self::Unpin { .. } => 7,
            Self::Reserve { .. } | Self::Add { .. } => 8,
            Self::Offline { .. } | Self::OfflineRange { .. } => 9,
            Self::Online { .. } | Self::Replug(..) | Self::ByNumber { .. } => 10,
            Self::SoftOffline(_) => 11,
            Self::Report { .. } => 12,
            Self::AddRecords { .. } | Self::RemoveRecords { .. } => 13,
            Self::BadFree { .. } | Self::OwnerWord { .. } | Self::RangeOwner { .. } => 14,
            Self::Drain | Self::Cpu(_) => 15,
        })
    }
}
