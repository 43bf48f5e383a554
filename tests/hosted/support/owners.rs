//! Owners of movable pages: what a kernel's reverse map is, made of a table.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use pageblock::{AllocRequest, Geometry, Migrate, MigrateError, Move, Order, PageAllocator, Pfn, Platform};

/// Every movable block by its owner word, and every move that was made.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    blocks: Mutex<BTreeMap<u64, (Pfn, Order)>>,
    moves: Mutex<Vec<Move>>,
}

impl Owners {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, (Pfn, Order)>> {
        self.blocks.lock().unwrap()
    }

    /// Allocates a movable block for owner `word`, which must not be 0, if there is memory.
    pub(crate) fn own<P: Platform, G: Geometry>(
        &self,
        machine: &PageAllocator<'_, P, G>,
        word: u64,
        order: Order,
    ) -> Option<Pfn> {
        let mut table = self.table();
        let pfn = machine.alloc_pages(AllocRequest::movable().order(order).owner(word)).ok()?;
        assert!(table.insert(word, (pfn, order)).is_none(), "owner {word} has a block already");
        Some(pfn)
    }

    /// Owns pages, one for each word from 1 up, until memory or `limit` ends. Says how many.
    pub(crate) fn fill<P: Platform, G: Geometry>(
        &self,
        machine: &PageAllocator<'_, P, G>,
        limit: usize,
    ) -> usize {
        (1..=limit as u64).take_while(|&word| self.own(machine, word, Order::ZERO).is_some()).count()
    }

    /// Where the block of an owner is now.
    pub(crate) fn place(&self, word: u64) -> Option<Pfn> {
        self.table().get(&word).map(|&(pfn, _)| pfn)
    }

    /// Frees one owner's block.
    pub(crate) fn free<P: Platform, G: Geometry>(&self, machine: &PageAllocator<'_, P, G>, word: u64) {
        let (pfn, order) = self.table().remove(&word).unwrap();
        machine.free_pages(pfn, order).unwrap();
    }

    /// Frees everything.
    pub(crate) fn free_all<P: Platform, G: Geometry>(&self, machine: &PageAllocator<'_, P, G>) {
        for (pfn, order) in std::mem::take(&mut *self.table()).into_values() {
            machine.free_pages(pfn, order).unwrap();
        }
    }

    /// The moves so far.
    pub(crate) fn moves(&self) -> Vec<Move> {
        self.moves.lock().unwrap().clone()
    }

    /// Every block with its owner word.
    pub(crate) fn all(&self) -> Vec<(u64, Pfn, Order)> {
        self.table().iter().map(|(&word, &(pfn, order))| (word, pfn, order)).collect()
    }
}

impl Migrate for Owners {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        if page.owner == 0 {
            return Err(MigrateError::Busy);
        }
        match self.table().get_mut(&page.owner) {
            Some(block) if *block == (page.from, page.order) => *block = (page.to, page.order),
            _ => return Err(MigrateError::Gone),
        }
        self.moves.lock().unwrap().push(page);
        Ok(())
    }

    fn yield_now(&self) {
        std::thread::yield_now();
    }
}

/// An owner that answers with a function.
///
/// The function is boxed, because contiguous allocation is compiled for each type of owner.
pub(crate) struct Answer<'a>(Box<dyn Fn(Move) -> Result<(), MigrateError> + 'a>);

impl<'a> Answer<'a> {
    pub(crate) fn new(answer: impl Fn(Move) -> Result<(), MigrateError> + 'a) -> Self {
        Self(Box::new(answer))
    }
}

impl Migrate for Answer<'_> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        (self.0)(page)
    }
}
