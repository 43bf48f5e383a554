//! The storm: every CPU allocates and frees, in every order, while valgrind watches.
//!
//! Runs in a process of its own ([`trace`](crate::trace) reads what comes out). One operation is one call to the allocator; the
//! next may be any CPU's. What a CPU does is one of the [`Load`]s. Neighbour: [`machine`](crate::machine).

use std::collections::VecDeque;
use std::io::{Write as _, stderr};

use pageblock::{AllocRequest, Mobility, Order, PAGE_SIZE, Pfn, PfnRange};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::coherence::Caches;
use crate::machine::{Allocator, Machine, PAGEBLOCK, barriers, play};
use crate::trace::{Marks, Role, Word};

/// What the CPUs do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Load {
    /// Each allocates a page and frees it.
    Pairs,
    /// Each allocates 1024 pages and frees them, shuffled.
    Bursts,
    /// Every second one allocates pages that the next one frees, about 64 later.
    Pipeline,
    /// Each allocates and frees blocks of random orders 0 to 9, together half of memory.
    Mixed,
    /// The first isolates a pageblock and lets go of it, while the others go on as in `Pairs`. Only the first one's operations count.
    Isolate,
}

impl Load {
    pub(crate) const ALL: [Self; 5] = [Self::Pairs, Self::Bursts, Self::Pipeline, Self::Mixed, Self::Isolate];

    /// How often it is each CPU's turn, at least.
    const fn turns(self) -> usize {
        match self {
            Self::Pairs | Self::Mixed => 256,
            Self::Bursts => 2 * BURST,
            Self::Pipeline => 512,
            Self::Isolate => 8,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::Bursts => "bursts",
            Self::Pipeline => "pipeline",
            Self::Mixed => "mixed",
            Self::Isolate => "isolate",
        }
    }
}

const BURST: usize = 1024;
const PIPELINE: usize = 64;
/// Pages that each CPU has allocated before, of which it keeps half.
const AGED: usize = 256;
/// Turns of all CPUs together, at least.
const TURNS: usize = 4096;
const SEED: u64 = 5;

static MARKS: Marks = Marks::new();

fn say(word: &Word) {
    // In one write: valgrind's lines come between any two.
    stderr().write_all(word.encode().as_bytes()).expect("someone listens");
}

/// What one CPU has in hand.
#[derive(Default)]
struct Hands {
    blocks: VecDeque<(Pfn, Order)>,
    /// Of a burst: it is over, the blocks go back.
    giving_back: bool,
}

struct Storm {
    load: Load,
    allocator: &'static Allocator,
    hands: Vec<Hands>,
    rng: SmallRng,
    /// Of the mixed load: blocks that each CPU has when memory is half full.
    share: usize,
    /// What the isolating CPU isolates.
    pageblock: PfnRange,
    role: Role,
}

/// Plays the storm twice; the second time counts.
pub(crate) fn run(load: Load, cpus: usize, memory: u64) {
    assert!((1..=Caches::CPUS).contains(&cpus));
    let machine = Machine::new(memory, cpus);
    say(&Word::Places { marks: MARKS.address(), places: machine.places.clone() });
    let mean_pages = (0..10).map(|order| 1 << order).sum::<usize>() / 10;
    let mut storm = Storm {
        load,
        allocator: machine.allocator,
        hands: (0..cpus).map(|_| Hands::default()).collect(),
        rng: SmallRng::seed_from_u64(SEED),
        share: (memory / PAGE_SIZE) as usize / 2 / mean_pages / cpus,
        pageblock: PfnRange::with_len(machine.allocator.span().start(), PAGEBLOCK.pages()),
        role: Role::Background,
    };
    let turns = match load {
        Load::Bursts | Load::Isolate => load.turns(),
        _ => load.turns().max(TURNS / cpus),
    };
    storm.prepare();
    storm.play(turns);
    let before = (lock_holds(machine.allocator), barriers());
    storm.role = Role::Counted;
    storm.play(turns);
    let lock_holds = lock_holds(machine.allocator) - before.0;
    let totals = Word::Totals { lock_holds, barriers: (barriers() - before.1) as u64 };
    let audit = machine.allocator.audit();
    assert!(audit.is_exact(), "{audit}");
    say(&totals);
}

impl Storm {
    /// Leaves memory as after a while: every CPU has pages here and there, or blocks of all orders.
    fn prepare(&mut self) {
        let cpus = self.hands.len();
        if self.load == Load::Mixed {
            for n in 0..cpus * self.share {
                self.take_any(n % cpus);
            }
            return;
        }
        let pages: Vec<_> = (0..AGED * cpus).filter_map(|n| self.alloc(n % cpus, Order::ZERO)).collect();
        for (pfn, order) in pages {
            if self.rng.random_bool(0.5) {
                let cpu = self.rng.random_range(..cpus);
                self.free(cpu, pfn, order);
            }
        }
    }

    /// Every CPU has so many turns, each time in another order.
    fn play(&mut self, turns: usize) {
        let mut cpus: Vec<_> = (0..self.hands.len()).collect();
        for _ in 0..turns {
            cpus.shuffle(&mut self.rng);
            for &cpu in &cpus {
                match self.load {
                    Load::Pairs => self.pair(cpu),
                    Load::Bursts => self.burst(cpu),
                    Load::Pipeline => self.pass_on(cpu),
                    Load::Mixed => self.mix(cpu),
                    Load::Isolate => self.isolate(cpu),
                }
            }
        }
    }

    fn pair(&mut self, cpu: usize) {
        if let Some((pfn, order)) = self.alloc(cpu, Order::ZERO) {
            self.free(cpu, pfn, order);
        }
    }

    fn burst(&mut self, cpu: usize) {
        if !self.hands[cpu].giving_back {
            let block = self.alloc(cpu, Order::ZERO);
            let hands = &mut self.hands[cpu];
            hands.blocks.extend(block);
            hands.giving_back = hands.blocks.len() == BURST;
            if hands.giving_back {
                hands.blocks.make_contiguous().shuffle(&mut self.rng);
            }
        } else if let Some((pfn, order)) = self.hands[cpu].blocks.pop_front() {
            self.free(cpu, pfn, order);
            self.hands[cpu].giving_back = !self.hands[cpu].blocks.is_empty();
        }
    }

    fn pass_on(&mut self, cpu: usize) {
        let alone = self.hands.len() == 1;
        if cpu.is_multiple_of(2) {
            let block = self.alloc(cpu, Order::ZERO);
            self.hands[cpu].blocks.extend(block);
        }
        let from = if alone { cpu } else { cpu.wrapping_sub(1) };
        if (alone || !cpu.is_multiple_of(2))
            && self.hands[from].blocks.len() > PIPELINE
            && let Some((pfn, order)) = self.hands[from].blocks.pop_front()
        {
            self.free(cpu, pfn, order);
        }
    }

    fn mix(&mut self, cpu: usize) {
        let has = self.hands[cpu].blocks.len();
        // About as many as its share, in the long run.
        if has == 0 || self.rng.random_bool(if has < self.share { 0.75 } else { 0.25 }) {
            self.take_any(cpu);
        } else {
            let chosen = self.rng.random_range(..has);
            if let Some((pfn, order)) = self.hands[cpu].blocks.swap_remove_back(chosen) {
                self.free(cpu, pfn, order);
            }
        }
    }

    fn isolate(&mut self, cpu: usize) {
        if cpu != 0 {
            let role = std::mem::replace(&mut self.role, Role::Background);
            self.pair(cpu);
            self.role = role;
            return;
        }
        play(cpu);
        let isolated = MARKS.operation(cpu, self.role, || self.allocator.isolate(self.pageblock).map(drop));
        assert_eq!(isolated, Ok(()), "all pages are movable");
    }

    fn take_any(&mut self, cpu: usize) {
        let order = Order::new(self.rng.random_range(0..10));
        let block = self.alloc(cpu, order);
        self.hands[cpu].blocks.extend(block);
    }

    /// A movable block, unless memory is too full or too fragmented: that is an operation too.
    fn alloc(&mut self, cpu: usize, order: Order) -> Option<(Pfn, Order)> {
        play(cpu);
        let request = AllocRequest::new(order, Mobility::Movable);
        let pfn = MARKS.operation(cpu, self.role, || self.allocator.alloc_pages(request));
        pfn.ok().map(|pfn| (pfn, order))
    }

    fn free(&mut self, cpu: usize, pfn: Pfn, order: Order) {
        play(cpu);
        let freed = MARKS.operation(cpu, self.role, || self.allocator.free_pages(pfn, order));
        assert_eq!(freed, Ok(()));
    }
}

/// How often the zones' locks were taken so far.
fn lock_holds(allocator: &Allocator) -> u64 {
    allocator.zoneinfo().zones.iter().map(|zone| zone.lock_holds).sum()
}
