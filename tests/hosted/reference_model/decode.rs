//! From bytes to a machine and the steps on it: the one generator, for proptest and for a fuzzer.
//!
//! Any bytes will do, and a change of a byte changes one number of one step.

use pageblock::{Geometry, Order};

use super::steps::Step;
use crate::support::{Builder, frames};

/// The bytes of a [`Setup`].
pub(crate) const SETUP: usize = 32;
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
        // Three in four have no watermark and no guards.
        let rare = |byte: u8, most: u8| if byte % 4 == 3 { 1 + byte / 4 % most } else { 0 };
        let mut ranges = [(0, 0, false); 8];
        for (range, bytes) in ranges.iter_mut().zip(bytes[8..].chunks_exact(3)) {
            *range = (bytes[0], bytes[1], bytes[2] % 4 != 3);
        }
        Self {
            min: usize::from(rare(bytes[0], 19)),
            guards: rare(bytes[1], 3),
            cma: bytes[2] % 101,
            cpus: 1 + usize::from(bytes[3] % 3),
            wild: wild.map(|end| Wild { end, ranges, len: 1 + usize::from(bytes[4] % 8) }),
        }
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
        match kind {
            0..34 => Self::Alloc { order: a % 12, mobility: b % 3, zone: c % 3, depth: d % 3 },
            34..60 => Self::Free(x),
            60..64 => Self::BadFree { place: x, order: c % 13 },
            64..66 => Self::AddRecords { below: a, len: b, too_small: c % 8 == 7 },
            66..68 => Self::RemoveRecords { at: x, len: y },
            68..80 => Self::Isolate { at: x, len: y },
            80..90 => Self::Undo(x),
            90..96 => Self::Test(x),
            96..108 => Self::TakeContig { at: x, len: y, hard: e },
            108..116 => Self::FreeContig { which: z, from: x, len: y },
            116..121 => Self::TakeCma { len: x, align: c % 4 },
            121..124 => Self::TakeCmaDma { bytes: x, below: y, align: e },
            124..132 => Self::ReleaseCma { which: z, from: x, len: y },
            132..136 => Self::Drain,
            136..140 => Self::Reserve { at: x, len: y },
            140..145 => Self::Add { at: x, len: y, movable_only: e % 4 == 3 },
            145..153 => Self::Offline { at: x, listener: e },
            153..158 => Self::Online { which: x, listener: e },
            158..166 => Self::FreePart { number: z, from: x, len: y },
            166..174 => Self::Replug(x, e % 2 == 1),
            174..180 => Self::SoftOffline(x),
            180..190 => Self::Report {
                blocks: 1 + a % 39,
                hand_over: b % 40,
                acknowledged: c % 2 == 1,
                wait: c % 4 > 1,
            },
            190..196 => Self::AllocBulk { order: a % 4, mobility: b % 3, depth: c % 3, blocks: d % 24 },
            196..202 => Self::FreeBulk { number: x, blocks: c % 24, bad: e },
            202..210 => Self::AllocExact { pages: x, align: c % 6, mobility: d % 3, depth: e % 3 },
            210..215 => Self::FreeExact { which: x, at: x, len: y },
            215..221 => Self::FreeRange { at: x, len: y, contig: e % 2 == 1 },
            221..226 => Self::Split { number: x, into: c % 12 },
            226..232 => Self::Pin { which: z, at: x, len: y },
            232..237 => Self::Unpin { which: z, at: x, len: y },
            237..242 => Self::ContigPages { pages: x, align: c % 5, below: d },
            242..245 => Self::Dma { bytes: x, below: y, align: e },
            245..248 => Self::OwnerWord { number: x, by: y },
            248.. => Self::Cpu(a),
        }
    }
}
