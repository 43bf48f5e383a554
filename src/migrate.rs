//! Migration: moving an owned page out of the way, by asking its owner.
//!
//! The allocator decides *which* block moves and *where to*; the kernel, through [`Migrate`], copies the contents
//! and replaces the mappings. In between the block's state says that it is being moved:
//!
//! - its owner's free is noted in the state and carried out by the mover when it is done, so a free during a
//!   migration loses nothing;
//! - a second mover sees the state and leaves the block alone;
//! - if the owner freed the block first, the mover's first exchange fails and there is nothing to move.
//!
//! Neighbours: [`contig`](crate::contig) drives it, [`zone::free`](crate::zone) is the owner's side of the exchange.

use core::fmt;

use crate::error::AllocError;
use crate::faults::when_fault;
use crate::frame::state::{FrameKind, FrameState, Migration};
use crate::geometry::Geometry;
use crate::migratetype::Mobility;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pfn::Pfn;
use crate::platform::Platform;
use crate::request::AllocRequest;

/// A block that its owner is asked to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Where the contents are.
    pub from: Pfn,
    /// Where they are to be: a block of the same order that nobody else knows of.
    pub to: Pfn,
    /// The order of both.
    pub order: Order,
    /// The word that the owner gave ([`AllocRequest::owner`](crate::AllocRequest::owner)); `to` carries it already.
    pub owner: u64,
}

/// Why an owner did not move a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MigrateError {
    /// The owner is giving the block up, or has: it will be freed without anybody's help.
    Gone,
    /// The block is in use in a way that will pass.
    Busy,
    /// The block is in use in a way that may last: a device writes to it, say.
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
    /// `Ok` says that the contents are copied, that every mapping of `from` now is one of `to`, and that no CPU can
    /// reach `from` through an old translation any more: from here on the owner owns `to` and must not free `from`.
    /// On an error `from` is the owner's as before, and `to` is taken back untouched.
    ///
    /// Called on the CPU that allocates the range, with no lock of the allocator held and interrupts as they
    /// were. May allocate and free. Must be callable for any movable block, with whatever owner word it has at that
    /// moment (0 if the owner has not set one yet: answer [`MigrateError::Busy`]).
    ///
    /// # Errors
    ///
    /// See [`MigrateError`].
    fn migrate(&self, page: Move) -> Result<(), MigrateError>;

    /// Called between the phases and between the attempts of a contiguous allocation, with no lock held: a place to
    /// poll, to yield or to audit. Does nothing by default.
    fn breathe(&self) {}
}

/// For ranges that hold no owned page, or none that may be moved: answers every request with
/// [`MigrateError::Pinned`].
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMigration;

impl Migrate for NoMigration {
    fn migrate(&self, _: Move) -> Result<(), MigrateError> {
        Err(MigrateError::Pinned)
    }
}

/// How an attempt to move one block ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    /// The block's old frames are free.
    Away,
    /// There was nothing to move any more.
    Nothing,
    /// Someone else is moving it.
    Elsewhere,
    /// The owner said no.
    Refused(MigrateError),
    /// There is no block to move to.
    NoTarget(AllocError),
}

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// Moves the block at `from`, whose state was seen to be `state`, somewhere else.
    pub(crate) fn move_block(&self, from: Pfn, state: FrameState, migrate: &impl Migrate) -> Moved {
        debug_assert!(state.is(FrameKind::Allocated) && state.mobility() == Mobility::Movable);
        if state.migration() != Migration::Idle {
            return Moved::Elsewhere;
        }
        let order = state.order();
        // Before the block is pinned: an allocation may take a while. The new one is pinned from the start, so that its
        // owner's free and another mover wait until we are done with it.
        let to = match self.alloc_pages(AllocRequest::movable().order(order).pinned()) {
            Ok(to) => to,
            Err(error) => return Moved::NoTarget(error),
        };
        if self.mem().frames.exchange(from, state, state.with_migration(Migration::Moving)).is_err() {
            self.free_pinned(to);
            return Moved::Nothing;
        }
        let owner = self.mem().frames.owner(from);
        self.mem().frames.set_owner(to, owner);
        match migrate.migrate(Move { from, to, order, owner }) {
            Ok(()) => {
                self.unpin(to);
                self.free_pinned(from);
                Moved::Away
            }
            Err(error) => {
                self.free_pinned(to);
                match self.unpin(from) {
                    Migration::Freed => Moved::Away,
                    Migration::Idle | Migration::Moving => Moved::Refused(error),
                }
            }
        }
    }

    /// Lets go of a block that we pinned. If its owner freed it meanwhile, that is carried out now. Says which.
    fn unpin(&self, pfn: Pfn) -> Migration {
        let frames = &self.mem().frames;
        loop {
            let state = frames.state(pfn);
            match state.migration() {
                Migration::Freed => {
                    when_fault!(self.mem(), FREED_WHILE_MOVED_LOST => {
                        frames.set_state(pfn, state.with_migration(Migration::Idle));
                        return Migration::Idle;
                    });
                    self.free_pinned(pfn);
                    return Migration::Freed;
                }
                Migration::Idle => return Migration::Idle,
                Migration::Moving => {
                    if frames.exchange(pfn, state, state.with_migration(Migration::Idle)).is_ok() {
                        return Migration::Idle;
                    }
                }
            }
        }
    }
}
