//! Migratetypes of pageblocks, mobilities of allocations, and kinds of free lists.
//!
//! [`MigrateType`] is a property of a pageblock, and isolation does not change it. [`Mobility`] is
//! a property of an allocation. [`FreeKind`] names a free list: it is computed from a pageblock's
//! migratetype and isolated flag. Isolation is not a migratetype, as it was in Linux before v6.17:
//! the undo of an isolation must then know which type to restore.

use core::fmt;

/// The type of a pageblock: which allocations are grouped in it (`enum migratetype` in Linux).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MigrateType {
    /// Allocations that cannot be migrated.
    Unmovable = 0,
    /// Allocations that their owner can migrate to another frame.
    Movable = 1,
    /// Allocations that cannot be migrated, but that their owner can free on request (caches).
    Reclaimable = 2,
    /// The reserve for high-order atomic allocations: at most 1 % of a zone.
    HighAtomic = 3,
    /// A CMA area: only movable allocations may use its free pages.
    Cma = 4,
    /// Memory that was added as [`MemoryUse::MovableOnly`](crate::MemoryUse::MovableOnly), to be
    /// taken offline later: only movable allocations may use it.
    MovableOnly = 5,
}

impl MigrateType {
    pub(crate) const ALL: [Self; 6] =
        [Self::Unmovable, Self::Movable, Self::Reclaimable, Self::HighAtomic, Self::Cma, Self::MovableOnly];

    /// The pcplist that pages of such a pageblock are cached on; `None` if they are not cached.
    pub(crate) const fn cached_as(self) -> Option<Mobility> {
        match self {
            Self::Unmovable => Some(Mobility::Unmovable),
            Self::Movable | Self::Cma | Self::MovableOnly => Some(Mobility::Movable),
            Self::Reclaimable => Some(Mobility::Reclaimable),
            Self::HighAtomic => None,
        }
    }

    /// Whether a pageblock of this type may be given another such type, by a claim or a merge:
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
            5 => Self::MovableOnly,
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
            Self::MovableOnly => "movable-only",
        })
    }
}

/// Whether an allocation can be migrated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Mobility {
    /// It cannot be migrated: page tables, kernel data, device buffers.
    #[default]
    Unmovable = 0,
    /// Its owner implements [`Migrate`](crate::Migrate) for it. Only these may use CMA pages and
    /// movable-only memory.
    Movable = 1,
    /// It cannot be migrated, but its owner can free it on request: caches.
    Reclaimable = 2,
}

impl Mobility {
    pub(crate) const COUNT: usize = 3;
    pub(crate) const ALL: [Self; Self::COUNT] = [Self::Unmovable, Self::Movable, Self::Reclaimable];

    /// The type of the pageblocks that such allocations are grouped in.
    #[must_use]
    pub const fn migratetype(self) -> MigrateType {
        match self {
            Self::Unmovable => MigrateType::Unmovable,
            Self::Movable => MigrateType::Movable,
            Self::Reclaimable => MigrateType::Reclaimable,
        }
    }

    /// The types to fall back to, in order (`fallbacks` in Linux). They are ordinary types.
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

/// Which free list a block is on: that of its pageblock's migratetype, or the isolated list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FreeKind {
    /// The list of a migratetype: its pages are free pages and can be allocated.
    Listed(MigrateType),
    /// The isolated list: its pages are **not** free pages and are never allocated.
    Isolated,
}

impl FreeKind {
    /// The number of free lists of each order.
    pub(crate) const COUNT: usize = MigrateType::ALL.len() + 1;

    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Listed(MigrateType::Unmovable),
        Self::Listed(MigrateType::Movable),
        Self::Listed(MigrateType::Reclaimable),
        Self::Listed(MigrateType::HighAtomic),
        Self::Listed(MigrateType::Cma),
        Self::Listed(MigrateType::MovableOnly),
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
    fn every_fallback_is_an_ordinary_type() {
        for mobility in [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable] {
            for fallback in mobility.fallbacks() {
                assert!(fallback.is_ordinary());
                assert_ne!(fallback, mobility.migratetype());
            }
        }
    }

    #[test]
    fn migratetypes_round_trip_through_their_bits() {
        for kind in MigrateType::ALL {
            assert_eq!(MigrateType::from_bits(kind as u8), kind);
        }
    }
}
