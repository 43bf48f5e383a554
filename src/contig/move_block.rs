//! Migrates one block: allocates its target, calls [`Migrate`], frees the old block.
//!
//! During the migration the state of the block is *migrating* (it is pinned). A free by its owner
//! then only sets the state *freed*, and the migration frees the block when it ends. A second
//! migration leaves the block alone. If the owner frees the block before it is pinned, the exchange
//! that pins it fails, and there is nothing to migrate.

use crate::base::{
    AllocRequest, Depth, FrameKind, Geometry, Migrate, MigrateError, Mobility, Move, Pfn, Platform,
};
use crate::instruments::Faults;
use crate::page_allocator::{AllocError, PageAllocator};
use crate::records::{FrameState, Migration};

/// How the migration of one block ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moved {
    /// The old block is free.
    Migrated,
    /// The block was freed before it was pinned.
    Freed,
    /// Another call is migrating it.
    AlreadyMoving,
    /// [`Migrate::migrate`] failed.
    Refused(MigrateError),
    /// There is no target block.
    NoTarget(AllocError),
}

/// Migrates the block at `from`, which was in this state. The target may lower the free pages of
/// its zone down to `depth`.
pub(super) fn move_block<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    from: Pfn,
    state: FrameState,
    migrate: &impl Migrate,
    depth: Depth,
) -> Moved {
    debug_assert!(state.is(FrameKind::Allocated) && state.mobility() == Mobility::Movable);
    if state.migration() != Migration::None {
        return Moved::AlreadyMoving;
    }
    let (frames, events) = (&allocator.desc().frames, allocator.events());
    let order = state.order();
    // Before the block is pinned, because an allocation may take long. The target is pinned from
    // the start, so that neither its owner nor another migration can free it before this one ends.
    // It is in a zone that the block was requested from: its owner may be a device that reaches no
    // other.
    let request = AllocRequest::movable().order(order).highest_zone(state.highest_zone()).depth(depth);
    let to = match allocator.alloc_pages(request.pinned()) {
        Ok(to) => to,
        Err(error) => {
            events.migrate_no_target.add(1);
            return Moved::NoTarget(error);
        }
    };
    if frames.exchange(from, state, state.with_migration(Migration::Moving)).is_err() {
        allocator.free_pinned(to);
        events.migrate_freed.add(1);
        return Moved::Freed;
    }
    let owner = frames.owner(from);
    frames.set_owner(to, owner);
    match migrate.migrate(Move { from, to, order, owner }) {
        Ok(()) => {
            unpin(allocator, to);
            allocator.free_pinned(from);
            events.migrated_pages.add(order.pages());
            Moved::Migrated
        }
        Err(error) => {
            allocator.free_pinned(to);
            match unpin(allocator, from) {
                Migration::Freed => {
                    events.migrate_freed.add(1);
                    Moved::Migrated
                }
                Migration::None | Migration::Moving => {
                    events.migration_refused(error, order.pages());
                    Moved::Refused(error)
                }
            }
        }
    }
}

/// Unpins a block. If its owner freed it meanwhile, frees it and returns [`Migration::Freed`].
fn unpin<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>, pfn: Pfn) -> Migration {
    let desc = allocator.desc();
    loop {
        let state = desc.frames.state(pfn);
        match state.migration() {
            Migration::Freed => {
                if desc.faults.is_on(Faults::FREED_WHILE_MOVED_LOST) {
                    desc.frames.set_state(pfn, state.with_migration(Migration::None));
                    return Migration::None;
                }
                allocator.free_pinned(pfn);
                return Migration::Freed;
            }
            Migration::None => return Migration::None,
            Migration::Moving => {
                let idle = state.with_migration(Migration::None);
                if desc.frames.exchange(pfn, state, idle).is_ok() {
                    return Migration::None;
                }
            }
        }
    }
}
