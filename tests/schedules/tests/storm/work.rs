//! What the CPUs of the storm do: two run jobs that own pages, two take ranges away from them.

use std::collections::BTreeMap;

use pageblock::{
    AllocRequest, BlockReason, CmaArea, ContigOptions, Migrate, MigrateError, Mobility, Move, Order, Pfn,
    PfnRange,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Mutex;

use crate::machine::{Machine, PAGES};

/// Owners of movable blocks: what a kernel's reverse map is, made of a table.
pub(crate) struct Owners<'a, 'm> {
    machine: &'a Machine<'m>,
    blocks: Mutex<BTreeMap<u64, (Pfn, Order)>>,
}

impl<'a, 'm> Owners<'a, 'm> {
    pub(crate) fn new(machine: &'a Machine<'m>) -> Self {
        Self { machine, blocks: Mutex::new(BTreeMap::new()) }
    }

    fn own(&self, word: u64, order: Order) -> bool {
        let Ok(pfn) = self.machine.alloc_pages(AllocRequest::movable().order(order).owner(word)) else {
            return false;
        };
        self.blocks.lock().unwrap().insert(word, (pfn, order));
        true
    }

    fn free(&self, word: u64) {
        let block = self.blocks.lock().unwrap().remove(&word);
        if let Some((pfn, order)) = block {
            self.machine.free_pages(pfn, order).unwrap();
        }
    }

    pub(crate) fn free_all(&self) {
        let words: Vec<u64> = self.blocks.lock().unwrap().keys().copied().collect();
        words.into_iter().for_each(|word| self.free(word));
    }
}

impl Migrate for Owners<'_, '_> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        match self.blocks.lock().unwrap().get_mut(&page.owner) {
            // Allocated and not in the table yet, or freed and not given back yet.
            None => Err(MigrateError::Busy),
            Some(block) => {
                assert_eq!(*block, (page.from, page.order), "the owner has another block");
                block.0 = page.to;
                Ok(())
            }
        }
    }

    fn breathe(&self) {
        if thread_rng().gen_ratio(1, 4) {
            audit(self.machine);
        }
    }
}

fn audit(machine: &Machine<'_>) {
    let audit = machine.audit();
    assert!(audit.is_exact(), "while all CPUs work: {audit}");
}

/// Allocates and frees blocks of all kinds. Its movable ones stay when it ends.
pub(crate) fn job(owners: &Owners<'_, '_>, cpu: u64) {
    let machine = owners.machine;
    let mut rng = thread_rng();
    let (mut movable, mut fixed) = (Vec::new(), Vec::new());
    for round in 0..16 {
        let order = Order::new(*[0, 0, 0, 1, 2, 3].get(rng.gen_range(0..6)).unwrap_or(&0));
        match rng.gen_range(0..8) {
            0..=2 => {
                let word = (cpu + 1) << 32 | round;
                if owners.own(word, order) {
                    movable.push(word);
                }
            }
            3 => {
                let mobility = if rng.gen_bool(0.5) { Mobility::Unmovable } else { Mobility::Reclaimable };
                fixed.extend(machine.alloc_pages(AllocRequest::new(order, mobility)).map(|pfn| (pfn, order)));
            }
            4..=6 if !movable.is_empty() => {
                owners.free(movable.swap_remove(rng.gen_range(0..movable.len())));
            }
            _ => {
                if let Some((pfn, order)) = fixed.pop() {
                    machine.free_pages(pfn, order).unwrap();
                }
            }
        }
    }
    for (pfn, order) in fixed {
        machine.free_pages(pfn, order).unwrap();
    }
}

/// Isolates ranges, takes them, takes parts of the CMA area, and gives all of it back.
pub(crate) fn taker(owners: &Owners<'_, '_>, area: &CmaArea<'_>) {
    let machine = owners.machine;
    let mut rng = thread_rng();
    for _ in 0..4 {
        let len = rng.gen_range(1..=8);
        let range = PfnRange::with_len(Pfn::new(rng.gen_range(0..=PAGES - len)), len);
        match rng.gen_range(0..4) {
            0 => {
                if let Ok(mut isolated) = machine.isolate(range) {
                    assert_not_hidden(isolated.test().err().map(|blocked| blocked.reason));
                    audit(machine);
                }
            }
            1 => drop(machine.alloc_contig(range, owners, ContigOptions::default())),
            2 => audit(machine),
            _ => {
                if let Ok(taken) = area.alloc(machine, len, Order::ZERO, owners) {
                    audit(machine);
                    area.release(machine, taken).unwrap();
                }
            }
        }
    }
}

/// W2: when an isolation has drained, its pages are on no pcplist.
fn assert_not_hidden(blocked: Option<BlockReason>) {
    assert_ne!(blocked, Some(BlockReason::Cached), "a page of an isolated range hides on a pcplist");
    assert_ne!(blocked, Some(BlockReason::NotIsolated), "a page of an isolated range is on an ordinary list");
}
