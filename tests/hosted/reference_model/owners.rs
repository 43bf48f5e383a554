//! The owners of movable blocks: the model itself.

use std::cell::{Cell, RefCell};

use pageblock::{
    AllocRequest, ContigOptions, ContigPlace, Depth, FreeError, Geometry, Migrate, MigrateError, Move,
    NoMigration, NoNotifier, Order, PageAllocator, PfnRange, Platform,
};

use super::promises::Mapped;
use super::reference::{Reference, Truth};
use super::world::World;

/// Every fifth owner never moves.
pub(crate) fn is_pinned(word: u64) -> bool {
    word.is_multiple_of(5)
}

/// Every seventh owner is busy when it is first asked to move, on some machines.
pub(crate) fn is_reluctant(word: u64) -> bool {
    word % 7 == 6
}

/// The owner of every movable block. Some do not only move when they are asked to.
pub(crate) struct Owners<'a, 'm, P: Platform, G: Geometry> {
    model: &'a RefCell<Reference>,
    machine: &'a PageAllocator<'m, P, G>,
    refused: &'a Cell<usize>,
    busy: bool,
    mapped: Option<&'a Mapped>,
}

impl<P: Platform, G: Geometry> Migrate for Owners<'_, '_, P, G> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let Self { model, machine, refused, .. } = self;
        let mut model = model.borrow_mut();
        let word = page.owner;
        if word == 0 {
            // A page of another CPU.
            return Err(MigrateError::Busy);
        }
        assert!(model.blocks[&word].pfn == page.from && model.blocks[&word].order == page.order);
        if is_pinned(word) {
            return Err(MigrateError::Pinned);
        }
        let options = ContigOptions::default().attempts(1);
        match word % 7 {
            1 => {
                // It frees the block, and may say anything of it but that it moved.
                machine.free_pages(page.from, page.order).unwrap();
                model.change(page.order.block(page.from), Truth::Owned(word), Truth::Pool);
                model.blocks.remove(&word);
                return Err(if word.is_multiple_of(2) { MigrateError::Gone } else { MigrateError::Busy });
            }
            2 => {
                // It moves, and frees the block at once.
                machine.free_pages(page.to, page.order).unwrap();
                model.change(page.order.block(page.from), Truth::Owned(word), Truth::Pool);
                model.blocks.remove(&word);
                return Ok(());
            }
            3 => {
                // It allocates and frees, drains, and isolates a frame meanwhile, of which it may
                // be that it is isolated already.
                let pages = machine.alloc_pages(AllocRequest::unmovable().depth(Depth::Atomic));
                machine.drain_all();
                drop(machine.isolate(PfnRange::with_len(page.from, 1)));
                pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
            }
            4 => {
                // It frees or splits a part of the block, which it cannot do just now, and asks for
                // a range itself, with the block in it.
                if page.order > Order::ZERO {
                    let migrating = Err(FreeError::Migrating { pfn: page.from });
                    let part = PfnRange::with_len(page.from, 1);
                    assert_eq!(machine.free_range(part), migrating);
                    assert_eq!(machine.split_pages(page.from, page.order, Order::ZERO), migrating);
                    refused.set(refused.get() + 1);
                }
                let range = page.order.block(page.from);
                assert!(machine.alloc_contig(range, &NoMigration, options).is_err());
            }
            5 if self.busy => {
                // It allocates a range, and tries to take the memory away that it is in.
                drop(machine.alloc_contig_pages(1, ContigPlace::anywhere(), &NoMigration, options));
                let pageblock = Reference::pageblock::<G>(page.from);
                assert!(machine.offline(pageblock, &NoMigration, &NoNotifier, options).is_err());
                assert!(machine.reserve(PfnRange::with_len(page.to, 1)).is_err());
                assert!(machine.remove_memory(Reference::pageblock::<G>(page.to)).is_err());
            }
            6 if self.busy && model.asked.insert(word) => return Err(MigrateError::Busy),
            _ => {}
        }
        if let Some(mapped) = self.mapped {
            mapped.write(page.order.block(page.to));
        }
        model.change(page.order.block(page.from), Truth::Owned(word), Truth::Pool);
        model.change(page.order.block(page.to), Truth::Pool, Truth::Owned(word));
        model.blocks.get_mut(&word).unwrap().pfn = page.to;
        Ok(())
    }
}

impl<'m, P: Platform, G: Geometry> World<'_, 'm, P, G> {
    /// What the owners of movable blocks do.
    pub(super) fn owners(&self) -> Owners<'_, 'm, P, G> {
        let Self { model, machine, refused, mapped, setup, .. } = self;
        Owners { model, machine, refused, busy: setup.busy_owners, mapped: *mapped }
    }
}
