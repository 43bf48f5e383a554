//! The simulation: every CPU allocates and frees, in random turns, while valgrind traces it.
//!
//! It runs in a process of its own and sends its messages and valgrind's trace to `trace.rs`. An
//! operation is one call to the allocator. What a CPU does is one of the [`Load`]s.

use std::collections::VecDeque;
use std::io::{Write as _, stderr};

use pageblock::{AllocRequest, Mobility, Order, PAGE_SIZE, Pfn, PfnRange};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::coherence::Caches;
use crate::machine::{Allocator, Machine, PAGEBLOCK, barriers, set_cpu};
use crate::trace::{Marks, Message, Role};

/// What the CPUs do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Load {
    /// Each CPU allocates a page and frees it.
    Pairs,
    /// Each CPU allocates 1024 pages, then frees them in random order.
    Bursts,
    /// Every second CPU allocates pages, which the next CPU frees 64 allocations later.
    Pipeline,
    /// Each CPU allocates and frees blocks of random orders, 0 to 9. Half of memory is allocated.
    Mixed,
    /// The first CPU isolates a free pageblock and undoes it; the others do `Pairs`. Only the
    /// operations of the first CPU count.
    Isolate,
}

impl Load {
    pub(crate) const ALL: [Self; 5] = [Self::Pairs, Self::Bursts, Self::Pipeline, Self::Mixed, Self::Isolate];

    /// The least number of turns of each CPU.
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

/// The number of pages in a burst.
const BURST: usize = 1024;
/// The number of pages between the allocating and the freeing CPU of a pipeline.
const PIPELINE: usize = 64;
/// The number of pages that each CPU allocates before the simulation. It frees half of them.
const AGED: usize = 256;
/// The least number of turns of all CPUs together.
const TURNS: usize = 4096;
const SEED: u64 = 5;

static MARKS: Marks = Marks::new();

fn send(message: &Message) {
    // In one write, because valgrind prints its lines between any two writes.
    stderr().write_all(message.encode().as_bytes()).expect("the pipe is open");
}

/// The blocks that one CPU has allocated.
#[derive(Default)]
struct Allocated {
    blocks: VecDeque<(Pfn, Order)>,
    /// In a burst: all pages are allocated, and the frees have begun.
    freeing: bool,
}

struct Simulation {
    load: Load,
    allocator: &'static Allocator,
    cpus: Vec<Allocated>,
    rng: SmallRng,
    /// In the mixed load: the number of blocks of each CPU when half of memory is allocated.
    share: usize,
    /// The pageblock that the first CPU isolates.
    pageblock: PfnRange,
    role: Role,
}

/// Runs the simulation twice. The second time counts.
pub(crate) fn run(load: Load, cpus: usize, memory: u64) {
    assert!((1..=Caches::CPUS).contains(&cpus));
    let machine = Machine::new(memory, cpus);
    send(&Message::Places { marks: MARKS.address(), places: machine.places.clone() });
    let mean_pages = (0..10).map(|order| 1 << order).sum::<usize>() / 10;
    let mut simulation = Simulation {
        load,
        allocator: machine.allocator,
        cpus: (0..cpus).map(|_| Allocated::default()).collect(),
        rng: SmallRng::seed_from_u64(SEED),
        share: (memory / PAGE_SIZE) as usize / 2 / mean_pages / cpus,
        pageblock: PfnRange::with_len(machine.allocator.span().start(), PAGEBLOCK.pages()),
        role: Role::Background,
    };
    let turns = match load {
        Load::Bursts | Load::Isolate => load.turns(),
        _ => load.turns().max(TURNS / cpus),
    };
    simulation.prepare();
    simulation.run(turns);
    let before = (lock_holds(machine.allocator), barriers());
    simulation.role = Role::Counted;
    simulation.run(turns);
    let lock_holds = lock_holds(machine.allocator) - before.0;
    let totals = Message::Totals { lock_holds, barriers: (barriers() - before.1) as u64 };
    let audit = machine.allocator.audit();
    assert!(audit.is_exact(), "{audit}");
    send(&totals);
}

impl Simulation {
    /// Fragments memory: every CPU allocates scattered pages, or blocks of all orders.
    fn prepare(&mut self) {
        let cpus = self.cpus.len();
        if self.load == Load::Mixed {
            for n in 0..cpus * self.share {
                self.alloc_any(n % cpus);
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

    /// Gives every CPU that many turns. The order of the CPUs is random in each.
    fn run(&mut self, turns: usize) {
        let mut cpus: Vec<_> = (0..self.cpus.len()).collect();
        for _ in 0..turns {
            cpus.shuffle(&mut self.rng);
            for &cpu in &cpus {
                match self.load {
                    Load::Pairs => self.pair(cpu),
                    Load::Bursts => self.burst(cpu),
                    Load::Pipeline => self.pipeline(cpu),
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
        if !self.cpus[cpu].freeing {
            let block = self.alloc(cpu, Order::ZERO);
            let allocated = &mut self.cpus[cpu];
            allocated.blocks.extend(block);
            allocated.freeing = allocated.blocks.len() == BURST;
            if allocated.freeing {
                allocated.blocks.make_contiguous().shuffle(&mut self.rng);
            }
        } else if let Some((pfn, order)) = self.cpus[cpu].blocks.pop_front() {
            self.free(cpu, pfn, order);
            self.cpus[cpu].freeing = !self.cpus[cpu].blocks.is_empty();
        }
    }

    fn pipeline(&mut self, cpu: usize) {
        let alone = self.cpus.len() == 1;
        if cpu.is_multiple_of(2) {
            let block = self.alloc(cpu, Order::ZERO);
            self.cpus[cpu].blocks.extend(block);
        }
        let from = if alone { cpu } else { cpu.wrapping_sub(1) };
        if (alone || !cpu.is_multiple_of(2))
            && self.cpus[from].blocks.len() > PIPELINE
            && let Some((pfn, order)) = self.cpus[from].blocks.pop_front()
        {
            self.free(cpu, pfn, order);
        }
    }

    fn mix(&mut self, cpu: usize) {
        let has = self.cpus[cpu].blocks.len();
        // The number of blocks stays near the share.
        if has == 0 || self.rng.random_bool(if has < self.share { 0.75 } else { 0.25 }) {
            self.alloc_any(cpu);
        } else {
            let chosen = self.rng.random_range(..has);
            if let Some((pfn, order)) = self.cpus[cpu].blocks.swap_remove_back(chosen) {
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
        set_cpu(cpu);
        let isolated = MARKS.operation(cpu, self.role, || self.allocator.isolate(self.pageblock).map(drop));
        assert_eq!(isolated, Ok(()), "all pages are movable");
    }

    fn alloc_any(&mut self, cpu: usize) {
        let order = Order::new(self.rng.random_range(0..10));
        let block = self.alloc(cpu, order);
        self.cpus[cpu].blocks.extend(block);
    }

    /// Allocates a movable block. A failure, if memory is too full or fragmented, is an operation
    /// too.
    fn alloc(&mut self, cpu: usize, order: Order) -> Option<(Pfn, Order)> {
        set_cpu(cpu);
        let request = AllocRequest::new(order, Mobility::Movable);
        let pfn = MARKS.operation(cpu, self.role, || self.allocator.alloc_pages(request));
        pfn.ok().map(|pfn| (pfn, order))
    }

    fn free(&mut self, cpu: usize, pfn: Pfn, order: Order) {
        set_cpu(cpu);
        let freed = MARKS.operation(cpu, self.role, || self.allocator.free_pages(pfn, order));
        assert_eq!(freed, Ok(()));
    }
}

/// The number of acquisitions of the zones' locks so far.
fn lock_holds(allocator: &Allocator) -> u64 {
    allocator.zoneinfo().zones.iter().map(|zone| zone.lock_holds).sum()
}
