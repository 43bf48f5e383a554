//! The calls of a search, and how they read in a counterexample.

use std::fmt;

use pageblock::{Depth, MemoryUse, Mobility};

/// A run of frames: the first, and how many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Run {
    pub(crate) start: u8,
    pub(crate) len: u8,
}

impl Run {
    pub(crate) const fn end(self) -> u8 {
        self.start + self.len
    }

    /// The aligned blocks that it consists of, as few as possible: their first frames and orders.
    pub(crate) fn blocks(self, largest: u8) -> impl Iterator<Item = (u8, u8)> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let order = rest.len.checked_ilog2()?.min(rest.start.trailing_zeros()).min(largest.into());
            let block = (rest.start, order as u8);
            rest = Self { start: rest.start + (1 << order), len: rest.len - (1 << order) };
            Some(block)
        })
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len {
            1 => write!(f, "frame {}", self.start),
            _ => write!(f, "frames {} to {}", self.start, self.end() - 1),
        }
    }
}

/// What the owners of movable blocks do when they are asked to migrate one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owners {
    /// They migrate it.
    Migrate,
    /// They refuse.
    Refuse,
    /// They free it, and answer that it is gone.
    Free,
    /// They migrate it, and free the new block before they return.
    MigrateAndFree,
}

impl Owners {
    pub(crate) const ALL: [Self; 4] = [Self::Migrate, Self::Refuse, Self::Free, Self::MigrateAndFree];

    const fn do_what(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Refuse => "refuse to migrate",
            Self::Free => "free what they are to migrate",
            Self::MigrateAndFree => "migrate and free",
        }
    }
}

/// The mobility and the depth of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request(pub(crate) Mobility, pub(crate) Depth);

/// One call of the allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    Alloc {
        cpu: u8,
        order: u8,
        request: Request,
    },
    Free {
        cpu: u8,
        pfn: u8,
        order: u8,
    },
    /// Frees a range by its frames, whatever blocks and contiguous ranges they are parts of.
    FreeRange(Run),
    /// Splits an allocated block into two halves, each with an owner of its own.
    Split {
        pfn: u8,
        order: u8,
    },
    Isolate(Run),
    Undo(Run),
    Drain,
    TakeContig {
        run: Run,
        owners: Owners,
    },
    FreeContig(Run),
    TakeCma {
        pages: u8,
        owners: Owners,
    },
    FreeCma(Run),
    Offline {
        run: Run,
        owners: Owners,
    },
    Online(Run),
    Reserve(Run),
    /// Removes offline memory, which becomes a hole.
    Remove(Run),
    Add {
        run: Run,
        memory_use: MemoryUse,
    },
    /// Takes a batch of this many blocks, to be reported to the host.
    TakeBatch(u8),
    /// Tells the host of one block of the batch.
    HandOver,
    /// The host acknowledges what it was told of, or refuses it.
    EndBatch {
        acknowledged: bool,
    },
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Alloc { cpu, order, request: Request(mobility, depth) } => {
                let (frames, s) = (1 << order, if order == 0 { "" } else { "s" });
                write!(f, "CPU {cpu} allocates {frames} {mobility} frame{s}")?;
                match depth {
                    Depth::Normal => Ok(()),
                    Depth::Atomic => f.write_str(", atomic"),
                    Depth::Emergency => f.write_str(", in an emergency"),
                }
            }
            Self::Free { cpu, pfn, order } => {
                write!(f, "CPU {cpu} frees {}", Run { start: pfn, len: 1 << order })
            }
            Self::FreeRange(run) => write!(f, "free {run}, of whatever blocks"),
            Self::Split { pfn, order } => write!(f, "split {}", Run { start: pfn, len: 1 << order }),
            Self::Isolate(run) => write!(f, "isolate {run}"),
            Self::Undo(run) => write!(f, "undo the isolation of {run}"),
            Self::Drain => f.write_str("drain the pcplists"),
            Self::TakeContig { run, owners } => {
                write!(f, "take {run} as a contiguous range, whose owners {}", owners.do_what())
            }
            Self::FreeContig(run) => write!(f, "free {run}, which are contiguous"),
            Self::TakeCma { pages, owners } => {
                write!(f, "take {pages} frames of the CMA area, whose owners {}", owners.do_what())
            }
            Self::FreeCma(run) => write!(f, "free {run} of the CMA area"),
            Self::Offline { run, owners } => {
                write!(f, "take {run} offline, whose owners {}", owners.do_what())
            }
            Self::Online(run) => write!(f, "bring {run} online"),
            Self::Reserve(run) => write!(f, "reserve {run}"),
            Self::Remove(run) => write!(f, "remove {run}, which are offline"),
            Self::TakeBatch(blocks) => write!(f, "take {blocks} free blocks to report them to the host"),
            Self::HandOver => f.write_str("tell the host of a block of the batch"),
            Self::EndBatch { acknowledged: true } => f.write_str("the host acknowledges the batch"),
            Self::EndBatch { acknowledged: false } => f.write_str("the host refuses the batch"),
            Self::Add { run, memory_use } => write!(f, "add {run} as {memory_use} memory"),
        }
    }
}
