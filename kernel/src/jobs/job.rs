//! A job: a state machine that uses memory like a sequence of compiler processes.
//!
//! A process starts with an empty address space. In its first phase it grows: it maps and fills
//! movable pages, reads files through the page cache, and makes short-lived higher-order
//! allocations, as a kernel does on behalf of a process. Then it works: it checks, rewrites and
//! replaces pages. At its exit it checks and frees every page, and the job starts the next process.
//! All contents are checked at the addresses at which they are mapped.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heapless::Deque;
use pageblock::{AllocRequest, Order, Pfn};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::executor::{Progress, Task};
use crate::jobs::page_cache::{self, FILE_PAGES};
use crate::jobs::plan::Plan;
use crate::space::{Active, AddressSpace, EntryState, SpaceError, VPage, pages};

/// Operations in one step: enough to be worth loading CR3, few enough that jobs change CPUs often.
const STEP: u32 = 32;
/// Successive steps without memory after which a process stops growing.
const MAX_STEPS_WITHOUT_MEMORY: u32 = 64;
/// Short-lived blocks that a process holds at once.
const BLOCKS: usize = 12;
/// Pages to free from the page cache when an allocation has failed.
const SHRINK: usize = 64;

static STOPPING: AtomicBool = AtomicBool::new(false);
static FINISHED: AtomicU64 = AtomicU64::new(0);

/// Processes that have exited since boot.
pub(crate) fn finished() -> u64 {
    FINISHED.load(Ordering::Relaxed)
}

/// A job: one process after the other.
pub(crate) struct Job {
    rng: SmallRng,
    plan: Plan,
    process: Option<Process>,
}

struct Process {
    space: AddressSpace,
    phase: Phase,
    /// The number of the first page that was never mapped.
    top: u32,
    /// The value of `top` at which the process stops growing.
    target: u32,
    /// Successive steps that found no memory.
    steps_without_memory: u32,
    blocks: Deque<(Pfn, Order), BLOCKS>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Grow,
    Work { left: u32 },
    Exit,
}

impl Job {
    /// A job without a process.
    pub(crate) fn new(number: usize, plan: Plan) -> Self {
        let rng = SmallRng::seed_from_u64(plan.seed ^ (number as u64 + 1) << 40);
        Self { rng, plan, process: None }
    }

    /// Lets jobs run without end, until [`stop_all`](Self::stop_all).
    pub(crate) fn start_all() {
        STOPPING.store(false, Ordering::Release);
    }

    /// Has all processes exit, and no job start another one.
    pub(crate) fn stop_all() {
        STOPPING.store(true, Ordering::Release);
    }
}

impl Task for Job {
    fn step(&mut self) -> Progress {
        let stopping = STOPPING.load(Ordering::Acquire);
        let Some(process) = &mut self.process else {
            if stopping {
                return Progress::Done;
            }
            self.process = Process::new(&mut self.rng, self.plan);
            return Progress::Again;
        };
        if stopping {
            process.phase = Phase::Exit;
        }
        if process.step(&mut self.rng, self.plan) == Progress::Done {
            self.process = None;
            FINISHED.fetch_add(1, Ordering::Relaxed);
        }
        Progress::Again
    }
}

impl Process {
    fn new(rng: &mut SmallRng, plan: Plan) -> Option<Self> {
        let average = plan.pages_per_job;
        let target = rng.random_range(average / 2..=average + average / 2);
        match AddressSpace::new() {
            Ok(space) => {
                let blocks = Deque::new();
                Some(Self { space, phase: Phase::Grow, top: 0, target, steps_without_memory: 0, blocks })
            }
            Err(_) => {
                page_cache::shrink(SHRINK);
                None
            }
        }
    }

    fn step(&mut self, rng: &mut SmallRng, plan: Plan) -> Progress {
        // Destructured, so that `active` borrows only the space.
        let Self { space, phase, top, target, steps_without_memory, blocks } = self;
        let active = space.activate();
        match phase {
            Phase::Grow => {
                let mut short = !plan.may_grow();
                if !short {
                    for _ in 0..STEP {
                        if grow(&active, rng, top, blocks).is_err() {
                            page_cache::shrink(SHRINK);
                            short = true;
                            break;
                        }
                    }
                }
                *steps_without_memory = if short { *steps_without_memory + 1 } else { 0 };
                if short {
                    (0..STEP / 2).for_each(|_| check_some(&active, rng, *top));
                }
                if *top >= *target || *steps_without_memory >= MAX_STEPS_WITHOUT_MEMORY {
                    // Of random length, so that processes do not all exit at the same time.
                    *phase = Phase::Work { left: rng.random_range(STEP..=STEP + *top) };
                }
            }
            Phase::Work { left } => {
                for _ in 0..STEP {
                    if work(&active, rng, *top, blocks).is_err() {
                        page_cache::shrink(SHRINK);
                    }
                }
                *left = left.saturating_sub(STEP);
                if *left == 0 {
                    *phase = Phase::Exit;
                }
            }
            Phase::Exit => {
                if let Some((pfn, order)) = blocks.pop_front() {
                    pages::free(pfn, order);
                }
                for _ in 0..2 * STEP {
                    let Some(below) = top.checked_sub(1) else { break };
                    *top = below;
                    discard(&active, VPage::new(below));
                }
                if *top == 0 && blocks.is_empty() {
                    return Progress::Done;
                }
            }
        }
        Progress::Again
    }
}

/// One operation of a growing process.
fn grow(
    active: &Active<'_>,
    rng: &mut SmallRng,
    top: &mut u32,
    blocks: &mut Deque<(Pfn, Order), BLOCKS>,
) -> Result<(), SpaceError> {
    match rng.random_range(0..100) {
        0..84 => extend(active, top, Order::ZERO),
        84..88 => extend(active, top, Order::new(rng.random_range(1..=3))),
        88..95 => Ok(page_cache::read(rng.random_range(0..FILE_PAGES))?),
        _ => short_lived(rng, blocks),
    }
}

/// One operation of a working process.
fn work(
    active: &Active<'_>,
    rng: &mut SmallRng,
    top: u32,
    blocks: &mut Deque<(Pfn, Order), BLOCKS>,
) -> Result<(), SpaceError> {
    match rng.random_range(0..100) {
        0..25 => check_some(active, rng, top),
        25..35 => {
            if let Some(page) = some_mapped(active, rng, top) {
                active.write(page)?;
            }
        }
        35..80 => {
            if let Some(page) = some_mapped(active, rng, top) {
                let order = discard(active, page);
                let page = page.head(order);
                active.space().map(page, order)?;
                fill(active, page, order)?;
            }
        }
        80..88 => page_cache::read(rng.random_range(0..FILE_PAGES))?,
        _ => short_lived(rng, blocks)?,
    }
    Ok(())
}

/// Maps a new block after the last page and fills it.
fn extend(active: &Active<'_>, top: &mut u32, order: Order) -> Result<(), SpaceError> {
    let size = order.pages() as u32;
    let page = VPage::new(top.next_multiple_of(size));
    active.space().map(page, order)?;
    *top = page.number() + size;
    fill(active, page, order)
}

fn fill(active: &Active<'_>, head: VPage, order: Order) -> Result<(), SpaceError> {
    head.block(order).try_for_each(|page| active.write(page))
}

/// Checks and frees the block that `page` belongs to, if it is mapped. Returns its order.
fn discard(active: &Active<'_>, page: VPage) -> Order {
    let entry = active.space().entry(page);
    if entry.state() == EntryState::Empty {
        return Order::ZERO;
    }
    let order = entry.order();
    for page in page.head(order).block(order) {
        // The check counts and reports a mismatch itself.
        let _ = active.check(page);
    }
    let unmapped = active.space().unmap(page);
    assert_eq!(unmapped, Ok(order), "another task has unmapped a page of this job");
    order
}

fn check_some(active: &Active<'_>, rng: &mut SmallRng, top: u32) {
    if let Some(page) = some_mapped(active, rng, top) {
        let _ = active.check(page);
    }
}

fn some_mapped(active: &Active<'_>, rng: &mut SmallRng, top: u32) -> Option<VPage> {
    let page = VPage::new(rng.random_range(0..top.max(1)));
    (active.space().entry(page).state() != EntryState::Empty).then_some(page)
}

/// Allocates a higher-order block, which is freed a few operations later, first in, first out.
fn short_lived(rng: &mut SmallRng, blocks: &mut Deque<(Pfn, Order), BLOCKS>) -> Result<(), SpaceError> {
    if blocks.is_full()
        && let Some((pfn, order)) = blocks.pop_front()
    {
        pages::free(pfn, order);
    }
    let order = Order::new(rng.random_range(1..=4));
    let pfn = pages::allocate(AllocRequest::unmovable().order(order))?;
    if blocks.push_back((pfn, order)).is_err() {
        pages::free(pfn, order);
    }
    Ok(())
}
