//! The trait through which the allocator migrates a movable block.
//!
//! The allocator chooses the block and its target; the kernel, through [`Migrate`], copies the
//! contents and replaces the mappings.

use core::fmt;

use crate::base::order::Order;
use crate::base::pfn::Pfn;

/// A migration: the block, its target, and its owner word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// The first frame of the block.
    pub from: Pfn,
    /// The first frame of the target, an allocated block of the same order that has no other user.
    pub to: Pfn,
    /// The order of both blocks.
    pub order: Order,
    /// The owner word ([`AllocRequest::owner`](crate::AllocRequest::owner)), also that of `to`.
    pub owner: u64,
}

/// Why a block was not migrated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MigrateError {
    /// The owner is freeing the block, or has freed it.
    Gone,
    /// The block is in use, for a short time.
    Busy,
    /// The block is in use, for an unknown time: a device accesses it, for instance.
    Pinned,
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "its owner is freeing it",
            Self::Busy => "busy",
            Self::Pinned => "pinned",
        })
    }
}

impl core::error::Error for MigrateError {}

/// Migrates the movable blocks of their owners. The kernel implements it.
pub trait Migrate {
    /// Copies the contents of `page.from` to `page.to` and replaces all mappings.
    ///
    /// `Ok` means that the contents are copied, that mappings of `to` have replaced those of
    /// `from`, and that no TLB has an entry for `from`. The owner then owns `to`, and the allocator
    /// frees `from`. On an error the owner keeps `from`, and the allocator frees `to`.
    ///
    /// Called on the CPU that allocates the range, with no lock of the allocator held and
    /// interrupts as the caller had them. It may allocate and free. Any movable block may be
    /// passed; return [`MigrateError::Busy`] for one whose owner has not set an owner word yet.
    ///
    /// # Errors
    ///
    /// See [`MigrateError`].
    fn migrate(&self, page: Move) -> Result<(), MigrateError>;

    /// Called between the steps of a contiguous allocation, with no lock held.
    ///
    /// The kernel may yield the CPU or poll here. The default does nothing.
    fn yield_now(&self) {}
}

/// A [`Migrate`] that migrates nothing: it always returns [`MigrateError::Pinned`].
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMigration;

impl Migrate for NoMigration {
    fn migrate(&self, _: Move) -> Result<(), MigrateError> {
        Err(MigrateError::Pinned)
    }
}
