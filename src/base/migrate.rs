//! The trait through which the allocator asks the owner of a movable block to migrate it.
//!
//! The allocator decides *which* block is migrated and *where to*; the kernel, through [`Migrate`],
//! copies the contents and replaces the mappings.

use core::fmt;

use crate::base::order::Order;
use crate::base::pfn::Pfn;

/// A block that its owner is asked to migrate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Where the contents are.
    pub from: Pfn,
    /// Where they go: an allocated block of the same order, known to this call only.
    pub to: Pfn,
    /// The order of both.
    pub order: Order,
    /// The owner word ([`AllocRequest::owner`](crate::AllocRequest::owner)). `to` has it already.
    pub owner: u64,
}

/// Why an owner did not migrate a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MigrateError {
    /// The owner is freeing the block, or has freed it.
    Gone,
    /// The block is in use for a short time.
    Busy,
    /// The block is in use for an unknown time: a device writes to it, for instance.
    Pinned,
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "its owner is giving it up",
            Self::Busy => "busy",
            Self::Pinned => "pinned",
        })
    }
}

impl core::error::Error for MigrateError {}

/// The owner of movable pages, as the kernel implements it.
pub trait Migrate {
    /// Moves the contents of `page.from` to `page.to`.
    ///
    /// `Ok` means that the contents are copied, that every mapping of `from` now is one of `to`, and that
    /// no CPU can reach `from` through an old translation any more: from here on the owner owns `to` and
    /// must not free `from`. On an error the owner still owns `from`, and `to` is taken back.
    ///
    /// Called on the CPU that allocates the range, with no lock of the allocator held and interrupts as
    /// they were. It may allocate and free. It must accept any movable block, with whatever owner word
    /// the block has at that moment (0 if the owner has not set one yet: answer
    /// [`MigrateError::Busy`]).
    ///
    /// # Errors
    ///
    /// See [`MigrateError`].
    fn migrate(&self, page: Move) -> Result<(), MigrateError>;

    /// Called between the phases and the attempts of a contiguous allocation, with no lock held: to
    /// yield the CPU, to poll or to audit. Does nothing by default.
    fn yield_now(&self) {}
}

/// A [`Migrate`] that answers every request with [`MigrateError::Pinned`]: for ranges that have no
/// allocated page, or none that may be migrated.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMigration;

impl Migrate for NoMigration {
    fn migrate(&self, _: Move) -> Result<(), MigrateError> {
        Err(MigrateError::Pinned)
    }
}
