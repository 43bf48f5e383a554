//! What the CPUs do: two run jobs that own pages, two take ranges away from them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use pageblock::{
    AllocRequest, CmaArea, ContigOptions, ContigPlace, Migrate, MigrateError, Mobility, Move, NoNotifier,
    Obstacle, Order, Pfn, PfnRange,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Mutex;

use crate::machine::{Machine, PAGES};

/// The machine, the owners of its movable blocks, and what went wrong first.
///
/// The owners are a table, in place of a kernel's reverse map.
pub(crate) struct Workload<'a, 'm> {
    machine: &'a Machine<'m>,
    blocks: Mutex<BTreeMap<u64, (Pfn, Order)>>,
    finding: OnceLock<String>,
}

impl<'a, 'm> Workload<'a, 'm> {
    pub(crate) fn new(machine: &'a Machine<'m>) -> Self {
        Self { machine, blocks: Mutex::new(BTreeMap::new()), finding: OnceLock::new() }
    }

    /// Keeps a finding for the end.
    ///
    /// A panic now would unwind through guards that take locks, in a machine that is broken.
    fn check(&self, fine: bool, finding: impl FnOnce() -> String) {
        if !fine {
            self.finding.get_or_init(finding);
        }
    }

    /// What went wrong first.
    pub(crate) fn finding(&self) -> Option<&String> {
        self.finding.get()
    }

    /// Every counter is exact, now.
    fn audit(&self) {
        let audit = self.machine.audit();
        self.check(audit.is_exact(), || format!("while all CPUs work: {audit}"));
    }

    fn give_back(&self, pfn: Pfn, order: Order) {
        let freed = self.machine.free_pages(pfn, order);
        self.check(freed.is_ok(), || format!("{pfn} was ours to free: {freed:?}"));
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
            self.give_back(pfn, order);
        }
    }

    pub(crate) fn free_all(&self) {
        let words: Vec<u64> = self.blocks.lock().unwrap().keys().copied().collect();
        words.into_iter().for_each(|word| self.free(word));
    }
}

impl Migrate for Workload<'_, '_> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        match self.blocks.lock().unwrap().get_mut(&page.owner) {
            // Allocated and not in the table yet, or freed and not given back yet.
            None => Err(MigrateError::Busy),
            Some(block) => {
                let place = *block;
                self.check(place == (page.from, page.order), || format!("{page:?} is not at {place:?}"));
                block.0 = page.to;
                Ok(())
            }
        }
    }

    fn yield_now(&self) {
        if thread_rng().gen_ratio(1, 4) {
            self.audit();
        }
    }
}

/// Allocates and frees blocks of all kinds. Its movable ones stay when it ends.
pub(crate) fn job(workload: &Workload<'_, '_>, cpu: u64) {
    let machine = workload.machine;
    let mut rng = thread_rng();
    let (mut movable, mut fixed) = (Vec::new(), Vec::new());
    for round in 0..16 {
        let order = Order::new(*[0, 0, 0, 1, 2, 3].get(rng.gen_range(0..6)).unwrap_or(&0));
        match rng.gen_range(0..9) {
            0..=2 => {
                let word = (cpu + 1) << 32 | round;
                if workload.own(word, order) {
                    movable.push(word);
                }
            }
            3 => {
                let mobility = if rng.gen_bool(0.5) { Mobility::Unmovable } else { Mobility::Reclaimable };
                fixed.extend(machine.alloc_pages(AllocRequest::new(order, mobility)).map(|pfn| (pfn, order)));
            }
            4..=6 if !movable.is_empty() => {
                workload.free(movable.swap_remove(rng.gen_range(0..movable.len())));
            }
            7 => drop(machine.alloc_exact(rng.gen_range(1..8), AllocRequest::unmovable())),
            _ => {
                if let Some((pfn, order)) = fixed.pop() {
                    workload.give_back(pfn, order);
                }
            }
        }
    }
    for (pfn, order) in fixed {
        workload.give_back(pfn, order);
    }
}

/// Isolates ranges, takes them, takes parts of the CMA area, and gives all of it back.
pub(crate) fn taker(workload: &Workload<'_, '_>, area: &CmaArea<'_>) {
    let machine = workload.machine;
    let mut rng = thread_rng();
    for _ in 0..4 {
        let len = rng.gen_range(1..=8);
        let range = PfnRange::with_len(Pfn::new(rng.gen_range(0..=PAGES - len)), len);
        match rng.gen_range(0..7) {
            0 | 6 => {
                if let Ok(mut isolated) = machine.isolate(range) {
                    // W2: when an isolation has drained, its pages are on no pcplist.
                    let reason = isolated.test().err().map(|blocked| blocked.reason);
                    workload
                        .check(reason != Some(Obstacle::Cached), || format!("{range} hides on a pcplist"));
                    workload.audit();
                }
            }
            1 => drop(machine.alloc_contig(range, workload, ContigOptions::default())),
            2 => drop(machine.alloc_contig_pages(
                len,
                ContigPlace::default(),
                workload,
                ContigOptions::default(),
            )),
            3 => {
                // Whole pageblocks.
                let blocks = PfnRange::with_len(Pfn::new(range.start().number() & !3), 4);
                if let Ok((offline, _)) =
                    machine.offline(blocks, workload, &NoNotifier, ContigOptions::default())
                {
                    workload.audit();
                    let online = machine.online(offline, &NoNotifier);
                    workload
                        .check(online.is_ok(), || format!("{blocks} was ours to bring online: {online:?}"));
                }
            }
            4 => workload.audit(),
            _ => {
                if let Ok(taken) = area.alloc(machine, len, Order::ZERO, workload) {
                    workload.audit();
                    let released = area.free(machine, taken);
                    workload.check(released.is_ok(), || format!("{taken} was ours to release: {released:?}"));
                }
            }
        }
    }
}
