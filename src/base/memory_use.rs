//! What memory that is added after boot is for.

use core::fmt;

/// What added memory is for: whether it can be taken offline again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum MemoryUse {
    /// For all requests, as memory that is there at boot (`online_kernel` in Linux). One unmovable
    /// page keeps its pageblock online.
    Ordinary,
    /// For movable requests only, so that it can be taken offline again (`online_movable`,
    /// `ZONE_MOVABLE`): for memory that is plugged. Movable requests take it before other memory.
    ///
    /// No unmovable or reclaimable block, contiguous allocation or CMA area is in it. Its frames
    /// are in the zone of their address.
    #[default]
    MovableOnly,
}

impl fmt::Display for MemoryUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ordinary => "ordinary",
            Self::MovableOnly => "movable-only",
        })
    }
}
