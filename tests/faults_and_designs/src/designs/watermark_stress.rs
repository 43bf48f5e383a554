//! Requests at the min watermark with isolations in its middle, under each accounting design.
//!
//! One thread plays all CPUs, in an order that the seed decides: requesters that take blocks until
//! they are refused and give back now and then, and one or two isolators, between whose every two
//! steps the requesters go on. A *violation* is an ordinary request that was granted though it
//! leaves less than min really free. Blocks from a pcplist are none: they have left the free count
//! before, under the watermark check, so such a request takes nothing from what is free.

use std::cell::{Cell, RefCell};

use pageblock::{ContigOptions, Design, Migrate, MigrateError, Move, Order, Pfn, PfnRange};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{Machine, Owners, frames};

const BASE: usize = 4096;
const UNITS: usize = 8;
const UNIT: usize = 1024;
/// As on a machine of 1 GiB: as much as one isolator can be wrong by.
const MIN: usize = 1024;
const BLOCK: Order = Order::new(4);
const SEEDS: u64 = 4;

/// What happened in one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Damage {
    granted: usize,
    violations: usize,
    /// The largest and the smallest drift of the free count.
    over: isize,
    under: isize,
    taken: usize,
}

struct Stress {
    machine: Machine,
    owners: Owners,
    next_word: Cell<u64>,
    rng: RefCell<SmallRng>,
    damage: RefCell<Damage>,
    /// Isolators at work.
    depth: Cell<usize>,
}

impl Stress {
    fn new(design: Design, seed: u64) -> Self {
        let machine = frames(&[(BASE, BASE + UNITS * UNIT)]).min_free(MIN).build();
        machine.set_design(design).unwrap();
        Self {
            machine,
            owners: Owners::new(),
            next_word: Cell::new(1),
            rng: RefCell::new(SmallRng::seed_from_u64(seed)),
            damage: RefCell::default(),
            depth: Cell::new(0),
        }
    }

    fn pick(&self, below: usize) -> usize {
        self.rng.borrow_mut().random_range(0..below)
    }

    fn request(&self) {
        let word = self.next_word.get();
        let before = self.really_free();
        if self.owners.own(&self.machine, word, BLOCK).is_some() {
            self.next_word.set(word + 1);
            let after = self.really_free();
            let mut damage = self.damage.borrow_mut();
            damage.granted += 1;
            damage.violations += usize::from(after < before && after < MIN);
        }
    }

    fn really_free(&self) -> usize {
        self.machine.audit().zones.iter().map(|zone| zone.free.truth).sum()
    }

    fn give_back(&self) {
        let all = self.owners.all();
        if !all.is_empty() {
            self.owners.free(&self.machine, all[self.pick(all.len())].0);
        }
    }

    /// The requesters go on for a while.
    fn rage(&self, steps: usize) {
        for _ in 0..steps {
            if self.pick(100) < 55 { self.request() } else { self.give_back() }
        }
        let drift = self.machine.audit().free_drift();
        let mut damage = self.damage.borrow_mut();
        damage.over = damage.over.max(drift);
        damage.under = damage.under.min(drift);
    }

    /// Takes some unit, if it can, and gives it back.
    fn isolate_some_unit(&self) {
        let unit = PfnRange::with_len(Pfn::new(BASE + self.pick(UNITS) * UNIT), UNIT);
        self.depth.set(self.depth.get() + 1);
        let taken = self.machine.alloc_contig(unit, self, ContigOptions::default());
        self.damage.borrow_mut().taken += usize::from(taken.is_ok());
        drop(taken);
        self.depth.set(self.depth.get() - 1);
    }

    /// Returns after 30 units, with everything given back and no drift.
    fn run(self) -> Damage {
        while self.owners.own(&self.machine, self.next_word.get(), BLOCK).is_some() {
            self.next_word.set(self.next_word.get() + 1);
        }
        for _ in 0..30 {
            // Room to move a unit's pages to.
            (0..UNIT / BLOCK.pages()).for_each(|_| self.give_back());
            self.isolate_some_unit();
            self.rage(50);
        }
        self.owners.free_all(&self.machine);
        self.machine.drain_all();
        assert!(self.machine.audit().is_exact(), "{}", self.machine.audit());
        assert_eq!(self.machine.verify().unwrap().total().free, UNITS * UNIT);
        self.damage.into_inner()
    }
}

impl Migrate for Stress {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        self.rage(4);
        self.owners.migrate(page)
    }

    fn yield_now(&self) {
        self.rage(20);
        if self.depth.get() == 1 && self.pick(2) == 0 {
            self.isolate_some_unit();
        }
    }
}

fn stress(design: Design) -> Damage {
    (0..SEEDS).map(|seed| Stress::new(design, seed).run()).fold(Damage::default(), |sum, one| Damage {
        granted: sum.granted + one.granted,
        violations: sum.violations + one.violations,
        over: sum.over.max(one.over),
        under: sum.under.min(one.under),
        taken: sum.taken + one.taken,
    })
}

#[test]
fn ordinary_requests_stay_above_min_whatever_is_isolated() {
    for design in [Design::Default, Design::Parked] {
        let damage = stress(design);
        println!("{design}: {damage:?}");
        assert!(
            damage.granted > 5_000 && damage.taken > 50,
            "{design}: {damage:?} is too little to show anything"
        );
        assert_eq!((damage.violations, damage.over, damage.under), (0, 0, 0), "{design}");
    }
}

#[test]
fn with_a_remembered_x_ordinary_requests_go_below_min() {
    let damage = stress(Design::RememberedX);
    println!("remembered X: {damage:?}");
    assert!(damage.violations > 100, "{damage:?}");
    let bound = 2 * UNIT as isize;
    assert!(UNIT as isize / 2 < damage.over && damage.over <= bound, "{damage:?}");
    assert_eq!(damage.under, 0, "{damage:?}");
}

#[test]
fn counting_what_is_migrated_helps_but_not_enough() {
    let (x, x_and_m) = (stress(Design::RememberedX), stress(Design::RememberedXAndM));
    println!("remembered X and M: {x_and_m:?}");
    assert!(x_and_m.over < x.over && x_and_m.violations < x.violations, "{x_and_m:?}, {x:?}");
    assert!(x_and_m.over > 0, "owners free pages too: {x_and_m:?}");
}
