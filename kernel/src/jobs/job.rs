//! A job that treats memory the way a compiler process does, as a state machine.
//!
//! It starts with an empty address space, grows it with movable pages that it fills, reads files
//! through the file cache, makes short-lived higher-order allocations as a kernel does on a process's
//! behalf, then works: looks at its pages, rewrites some, replaces some. At the end it checks and
//! frees every page and starts anew. All contents are checked at the addresses where they are mapped.
//! Neighbours: [`executor`](super::executor) steps it, [`plan`](super::plan) bounds it.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heapless::Deque;
use pageblock::{AllocRequest, Order, Pfn};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::executor::{Progress, Task};
use super::file_cache::{self, FILE_PAGES};
use super::plan::Plan;
use crate::space::{Active, AddressSpace, EntryState, SpaceError, VPage, pages};

/// Operations in one step: long enough to be worth loading CR3, short enough to wander.
const STEP: u32 = 32;
/// Steps without memory after which a job makes do with what it has.
const PATIENCE: u32 = 64;
/// Short-lived blocks that a job holds at once.
const BLOCKS: usize = 12;

static STOPPING: AtomicBool = AtomicBool::new(false);
static FINISHED: AtomicU64 = AtomicU64::new(0);

/// Lives of jobs that came to their end since boot.
pub(crate) fn finished() -> u64 {
    FINISHED.load(Ordering::Relaxed)
}

/// A job, from one life to the next.
pub(crate) struct Job {
    rng: SmallRng,
    plan: Plan,
    process: Option<Process>,
}

struct Process {
    space: AddressSpace,
    phase: Phase,
    /// The first page that was never mapped.
    top: u32,
    /// Where growing ends.
    target: u32,
    /// Steps in a row that found no memory.
    hungry: u32,
    blocks: Deque<(Pfn, Order), BLOCKS>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Grow,
    Work { left: u32 },
    Exit,
}

impl Job {
    /// A job that has not begun.
    pub(crate) fn new(number: usize, plan: Plan) -> Self {
        let rng = SmallRng::seed_from_u64(plan.seed ^ (number as u64 + 1) << 40);
        Self { rng, plan, process: None }
    }

    /// Lets jobs live for ever again, after [`stop_all`](Self::stop_all).
    pub(crate) fn start_all() {
        STOPPING.store(false, Ordering::Release);
    }

    /// Makes every job go on to its exit and not start anew.
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
                Some(Self { space, phase: Phase::Grow, top: 0, target, hungry: 0, blocks })
            }
            Err(_) => {
                file_cache::shrink(64);
                None
            }
        }
    }

    fn step(&mut self, rng: &mut SmallRng, plan: Plan) -> Progress {
        // Taken apart so that the active space can be borrowed beside the rest.
        let Self { space, phase, top, target, hungry, blocks } = self;
        let active = space.activate();
        match phase {
            Phase::Grow => {
                let mut short = !plan.may_grow();
                if !short {
                    for _ in 0..STEP {
                        if grow(&active, rng, top, blocks).is_err() {
                            file_cache::shrink(64);
                            short = true;
                            break;
                        }
                    }
                }
                *hungry = if short { *hungry + 1 } else { 0 };
                if short {
                    (0..STEP / 2).for_each(|_| check_some(&active, rng, *top));
                }
                if *top >= *target || *hungry >= PATIENCE {
                    // Some are done at once, some stay: jobs must not all exit together.
                    *phase = Phase::Work { left: rng.random_range(STEP..=STEP + *top) };
                }
            }
            Phase::Work { left } => {
                for _ in 0..STEP {
                    if work(&active, rng, *top, blocks).is_err() {
                        file_cache::shrink(64);
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
        88..95 => Ok(file_cache::read(rng.random_range(0..FILE_PAGES))?),
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
        80..88 => file_cache::read(rng.random_range(0..FILE_PAGES))?,
        _ => short_lived(rng, blocks)?,
    }
    Ok(())
}

/// Maps a block of new pages at the end and fills it.
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

/// Checks the whole block that `page` belongs to, if it is mapped, and frees it.
fn discard(active: &Active<'_>, page: VPage) -> Order {
    let entry = active.space().entry(page);
    if entry.state() == EntryState::Empty {
        return Order::ZERO;
    }
    let order = entry.order();
    for page in page.head(order).block(order) {
        // Counted and reported by the check itself.
        let _ = active.check(page);
    }
    let unmapped = active.space().unmap(page);
    assert_eq!(unmapped, Ok(order), "only this job unmaps its pages");
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

/// Allocates a higher-order block that is freed a few operations later, first in, first out.
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
