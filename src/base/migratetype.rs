//! What a pageblock is for, what an allocation is, and which list a free block is on.
//!
//! Three different questions, three types. [`MigrateType`] belongs to a pageblock and survives
//! isolation; [`Mobility`] belongs to a request; [`FreeKind`] names a free list and is computed from
//! the pageblock's state. Isolation is no migratetype here: Linux made it one, and an undo then had
//! to be told which type to restore (until the standalone bit of v6.17). Neighbour:
//! [`pageblock`](crate::pageblock), which stores the state.

use core::fmt;

/// What the pages of a pageblock are grouped for (`enum migratetype` in Linux, less isolation).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MigrateType {
    /// Pages that stay where they are until freed.
    Unmovable = 0,
    /// Pages whose owner can be told to use another frame.
    Movable = 1,
    /// Pages that stay where they are but whose owner can drop them on request.
    Reclaimable = 2,
    /// A small reserve for higher-order allocations from atomic context.
    HighAtomic = 3,
    /// Memory of a contiguous-memory area: lent to movable allocations only.
    Cma = 4,
}

impl MigrateType {
    pub(crate) const ALL: [Self; 5] =
        [Self::Unmovable, Self::Movable, Self::Reclaimable, Self::HighAtomic, Self::Cma];

    /// The mobility of the requests that such a pageblock's pages are cached for. CMA pages serve movable ones; the atomic
    /// reserve is not for caching.
    pub(crate) const fn cached_as(self) -> Option<Mobility> {
        match self {
            Self::Unmovable => Some(Mobility::Unmovable),
            Self::Movable | Self::Cma => Some(Mobility::Movable),
            Self::Reclaimable => Some(Mobility::Reclaimable),
            Self::HighAtomic => None,
        }
    }

    /// Whether blocks of this type merge with, and are claimed for, other such types: true of
    /// unmovable, movable and reclaimable (`migratetype_is_mergeable` in Linux).
    pub(crate) const fn is_ordinary(self) -> bool {
        matches!(self, Self::Unmovable | Self::Movable | Self::Reclaimable)
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Unmovable,
            2 => Self::Reclaimable,
            3 => Self::HighAtomic,
            4 => Self::Cma,
            _ => Self::Movable,
        }
    }
}

impl fmt::Display for MigrateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unmovable => "unmovable",
            Self::Movable => "movable",
            Self::Reclaimable => "reclaimable",
            Self::HighAtomic => "high-atomic",
            Self::Cma => "CMA",
        })
    }
}

/// What the owner of an allocation promises about moving it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Mobility {
    /// The pages stay where they are: page tables, kernel data, device buffers.
    #[default]
    Unmovable = 0,
    /// The owner answers [`Migrate`](crate::Migrate) for the pages. Only these may use CMA memory.
    Movable = 1,
    /// The pages stay where they are, but their owner can drop them: caches.
    Reclaimable = 2,
}

impl Mobility {
    pub(crate) const COUNT: usize = 3;
    pub(crate) const ALL: [Self; Self::COUNT] = [Self::Unmovable, Self::Movable, Self::Reclaimable];

    /// The pageblock type that such allocations are grouped in.
    #[must_use]
    pub const fn migratetype(self) -> MigrateType {
        match self {
            Self::Unmovable => MigrateType::Unmovable,
            Self::Movable => MigrateType::Movable,
            Self::Reclaimable => MigrateType::Reclaimable,
        }
    }

    /// Where to look when there is no block of the own type, in order (`fallbacks` in Linux). CMA,
    /// the atomic reserve and isolated blocks are never a fallback.
    pub(crate) const fn fallbacks(self) -> [MigrateType; 2] {
        match self {
            Self::Unmovable => [MigrateType::Reclaimable, MigrateType::Movable],
            Self::Movable => [MigrateType::Reclaimable, MigrateType::Unmovable],
            Self::Reclaimable => [MigrateType::Unmovable, MigrateType::Movable],
        }
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        match bits {
            1 => Self::Movable,
            2 => Self::Reclaimable,
            _ => Self::Unmovable,
        }
    }
}

impl fmt::Display for Mobility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.migratetype().fmt(f)
    }
}

/// The free list that a free block is on: its pageblock's type, or isolated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FreeKind {
    /// On the list of this type: a free page.
    Listed(MigrateType),
    /// On the isolated list: **not** a free page, and never allocated from.
    Isolated,
}

impl FreeKind {
    /// How many lists a free area has.
    pub(crate) const COUNT: usize = MigrateType::ALL.len() + 1;

    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Listed(MigrateType::Unmovable),
        Self::Listed(MigrateType::Movable),
        Self::Listed(MigrateType::Reclaimable),
        Self::Listed(MigrateType::HighAtomic),
        Self::Listed(MigrateType::Cma),
        Self::Isolated,
    ];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Listed(kind) => kind as usize,
            Self::Isolated => MigrateType::ALL.len(),
        }
    }

    pub(crate) const fn from_index(index: usize) -> Self {
        if index < MigrateType::ALL.len() {
            Self::Listed(MigrateType::from_bits(index as u8))
        } else {
            Self::Isolated
        }
    }
}

impl fmt::Display for FreeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(kind) => kind.fmt(f),
            Self::Isolated => f.pad("isolated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FreeKind, MigrateType, Mobility};

    #[test]
    fn list_indices_round_trip() {
        for (index, kind) in FreeKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(FreeKind::from_index(index), kind);
        }
    }

    #[test]
    fn no_fallback_leads_into_cma_or_a_reserve() {
        for mobility in [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable] {
            for fallback in mobility.fallbacks() {
                assert!(fallback.is_ordinary());
                assert_ne!(fallback, mobility.migratetype());
            }
        }
    }

    #[test]
    fn types_round_trip_through_their_bits() {
        for kind in MigrateType::ALL {
            assert_eq!(MigrateType::from_bits(kind as u8), kind);
        }
    }
}
