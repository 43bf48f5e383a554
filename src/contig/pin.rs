//! Pins contiguous allocations while a device accesses them.
//!
//! Nothing migrates a contiguous allocation, pinned or not: its blocks have no owner that could. A
//! pin says that its contents change without the kernel: it must not be freed, and whoever wants
//! the frames gets *pinned* as the reason instead of *part of a contiguous allocation*. (Linux
//! counts such pins in `FOLL_PIN` references of the pages.)
//!
//! The pin is a bit in the state of each block, which is changed in the lock hold of its zone, as
//! the blocks are freed. So of a pin and a free of one range at the same time, which is a mistake
//! of the kernel, one is refused, as a whole. If a later part of a range is pinned while the range
//! is freed, the free stops there: what is below the part is free, and the part is pinned.

use core::error::Error;
use core::{fmt, iter};

use crate::base::{FrameKind, Geometry, Pageblock, Pfn, PfnRange, Platform, RangeError};
use crate::page_allocator::PageAllocator;
use crate::records::{Descriptors, FrameState};

/// Why a range was not pinned or unpinned. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PinError {
    /// The range is empty, not in one zone, or has a frame without a record.
    Range(RangeError),
    /// A frame of the range is not part of a contiguous allocation.
    NotContig {
        /// The first such frame.
        pfn: Pfn,
        /// The kind of that frame.
        kind: FrameKind,
    },
    /// The range has a part of a block only. A contiguous allocation is pinned as a whole.
    PartOfBlock {
        /// The first frame of the block.
        head: Pfn,
        /// The range that was given.
        range: PfnRange,
    },
    /// A block of the range is pinned already.
    Pinned {
        /// The first frame of the first such block.
        pfn: Pfn,
    },
    /// A block of the range is not pinned.
    NotPinned {
        /// The first frame of the first such block.
        pfn: Pfn,
    },
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::NotContig { pfn, kind } => write!(f, "{pfn} is in no contiguous allocation: it is {kind}"),
            Self::PartOfBlock { head, range } => write!(f, "{range} has only a part of the block at {head}"),
            Self::Pinned { pfn } => write!(f, "{pfn} is pinned already"),
            Self::NotPinned { pfn } => write!(f, "{pfn} is not pinned"),
        }
    }
}

impl Error for PinError {}

/// Pins all blocks of `range`, or unpins them.
pub(crate) fn set_pinned<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    pinned: bool,
) -> Result<(), PinError> {
    let desc = allocator.desc();
    let zone = allocator.zone_of_span(range).map_err(PinError::Range)?;
    // The whole range before any of it is changed. The caller owns it, so that it does not change.
    check(desc, range, range, pinned)?;
    let set = |part: PfnRange, pinned| {
        allocator.in_zone(zone, |_| {
            // Again, if another CPU frees the range now, which it does not own.
            check(desc, part, range, pinned)?;
            each_block(desc, part, |pfn, state| {
                if pfn >= part.start() {
                    desc.frames.set_state(pfn, state.with_pin(pinned));
                }
                Ok(())
            })
        })
    };
    for part in in_order::<G>(range, pinned) {
        if let Err(error) = set(part, pinned) {
            let done = if pinned {
                PfnRange::new(range.start(), part.start())
            } else {
                PfnRange::new(part.end(), range.end())
            };
            for part in in_order::<G>(done, !pinned) {
                // To pin what follows would stop the free of this part half-way.
                if set(part, !pinned).is_err() && !pinned {
                    break;
                }
            }
            return Err(error);
        }
    }
    Ok(())
}

/// The parts of `range` in each pageblock: from the first if they are pinned, from the last if they
/// are unpinned. A free goes from the first to the last. So if it is refused because of a pin of
/// the same range, it is refused at the first part, before it has freed any.
fn in_order<G: Geometry>(range: PfnRange, pinned: bool) -> impl Iterator<Item = PfnRange> {
    let mut parts = Pageblock::parts::<G>(range);
    iter::from_fn(move || if pinned { parts.next() } else { parts.next_back() })
}

/// Checks that `part` is whole blocks of contiguous allocations, none of which is pinned as wanted.
fn check<G: Geometry>(
    desc: &Descriptors<'_, G>,
    part: PfnRange,
    range: PfnRange,
    pinned: bool,
) -> Result<(), PinError> {
    each_block(desc, part, |pfn, state| {
        if !state.is(FrameKind::Contig) {
            return Err(PinError::NotContig { pfn, kind: state.kind() });
        }
        if !range.covers(state.order().block(pfn)) {
            return Err(PinError::PartOfBlock { head: pfn, range });
        }
        match (state.is_pinned(), pinned) {
            // A block that is larger than a pageblock belongs to the part in which it begins.
            _ if pfn < part.start() => Ok(()),
            (true, true) => Err(PinError::Pinned { pfn }),
            (false, false) => Err(PinError::NotPinned { pfn }),
            _ => Ok(()),
        }
    })
}

/// Calls `f` with the first frame and the state of each block that has a frame in `part`.
fn each_block<G: Geometry>(
    desc: &Descriptors<'_, G>,
    part: PfnRange,
    mut f: impl FnMut(Pfn, FrameState) -> Result<(), PinError>,
) -> Result<(), PinError> {
    let mut blocks = desc.frames.blocks(part, G::MAX_ORDER).map(|found| found.head(&desc.frames));
    blocks.try_for_each(|(head, state)| f(head, state))
}
