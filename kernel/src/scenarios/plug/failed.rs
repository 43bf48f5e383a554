//! Why memory was not plugged, or not unplugged: with the frame that was in the way.

use core::fmt;

use pageblock::{
    ContigError, HandOverError, HotplugError, IsolateError, Obstacle, Pfn, PfnRange, RecordsError,
};

use crate::devices::memory_device::Refused;

/// A block was not plugged, or not unplugged.
#[derive(Debug)]
pub(super) enum Failed {
    /// The device refuses.
    Device(Pfn, Refused),
    /// There is no memory for a page table.
    Mapping(Pfn),
    /// The records were not made, or not removed.
    Records(Pfn, RecordsError),
    /// The block was not added.
    Add(HandOverError),
    /// It does not consist of so many whole blocks as this kernel can handle.
    Size(PfnRange),
    /// A frame of the block is in the way.
    Offline(Pfn, HotplugError),
}

impl Failed {
    /// The frame in the way, or the first one of what was refused.
    pub(super) fn pfn(&self) -> Pfn {
        match self {
            Self::Offline(_, error) => obstacle(error).map_or(self.block(), |(pfn, _)| pfn),
            _ => self.block(),
        }
    }

    fn block(&self) -> Pfn {
        match self {
            Self::Device(pfn, _) | Self::Mapping(pfn) | Self::Records(pfn, _) | Self::Offline(pfn, _) => *pfn,
            Self::Add(HandOverError::Managed { pfn, .. } | HandOverError::OtherUse { pfn, .. }) => *pfn,
            Self::Size(range) => range.start(),
            Self::Add(_) => Pfn::new(0),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(_, error) => error.fmt(f),
            Self::Mapping(_) => f.write_str("no memory for a page table"),
            Self::Records(_, error) => error.fmt(f),
            Self::Add(error) => error.fmt(f),
            Self::Size(range) => write!(f, "{range} does not consist of 2 to 256 blocks of 2 MiB"),
            Self::Offline(_, error) => match obstacle(error) {
                Some((_, Some(reason))) => reason.fmt(f),
                Some((_, None)) => f.write_str("nowhere to migrate to"),
                None => error.fmt(f),
            },
        }
    }
}

/// The frame that kept a block online, and why. Without a reason there was no memory to migrate to.
fn obstacle(error: &HotplugError) -> Option<(Pfn, Option<Obstacle>)> {
    match *error {
        HotplugError::Contig(
            ContigError::Isolate(IsolateError::Unmovable { pfn, reason })
            | ContigError::Busy { pfn, reason, .. },
        ) => Some((pfn, Some(reason))),
        HotplugError::Contig(ContigError::NoMemory { pfn, .. }) => Some((pfn, None)),
        _ => None,
    }
}
