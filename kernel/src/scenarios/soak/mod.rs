//! Everything at once, for as long as it is asked for.
//!
//! All CPUs run build-like jobs, tasks that allocate and free blocks as fast as they can, and tasks
//! that allocate contiguous ranges, use the CMA area, take memory offline and online, remove and
//! add it, isolate ranges, retire frames and drain pcplists. Timer interrupts allocate, some blocks
//! have guards, owners refuse to migrate or free their block instead, and audits are made all the
//! time. Each mark and each page is checked when it is freed.
//!
//! The work is done in rounds. At the end of each all memory is freed: as many pages must be free
//! as at the start. A round has a seed of its own, the next number after that of the round before,
//! so that a run can go on where another one ended.
//!
//! | file | what |
//! |---|---|
//! | `counts` | the operations of each kind |
//! | `churn` | allocates and frees blocks; their owners |
//! | `owners` | migration that asks these owners, too |
//! | `held` | holds some ranges, and frees each as a whole or in parts |
//! | `ranges` | contiguous and exact ranges, for such a task |
//! | `area` | ranges of the CMA area, for such a task |
//! | `hotplug` | takes memory offline and online, removes it and adds it |
//! | `isolation` | isolates ranges for a while |
//! | `upkeep` | drains, verifies, retires frames, reads reports |
//! | `driver` | ends the rounds |

mod area;
mod churn;
mod counts;
mod driver;
mod held;
mod hotplug;
mod isolation;
mod owners;
mod ranges;
mod upkeep;

use pageblock::{Order, Tuning};
use pageblock_protocol::{BootConfig, Verdict, stat};

use crate::jobs::executor::TaskRef;
use crate::jobs::{Plan, interrupts};
use crate::memory::{self, allocator};
use crate::report::{self, events};
use crate::scenarios::audit_log;
use crate::scenarios::frames::pages_in;
use crate::scenarios::load::{self, Audits};
use crate::scenarios::soak::area::Area;
use crate::scenarios::soak::churn::Churn;
use crate::scenarios::soak::driver::{Driver, Goal};
use crate::scenarios::soak::hotplug::Hotplug;
use crate::scenarios::soak::isolation::Isolation;
use crate::scenarios::soak::ranges::Ranges;
use crate::scenarios::soak::upkeep::{Balance, Upkeep};
use crate::scenarios::verdict::{Judge, Refused};
use crate::space::{self, contents, pages};
use crate::sync::Lock;
use crate::time;

/// The most free pages that the jobs use. The other tasks use more.
const USED_BY_JOBS: usize = 1 << 17;
/// Pages that stay free for migration.
const HEADROOM_MIB: u32 = 8;

static DRIVER: Lock<Option<Driver>> = Lock::new(None);
static CHURN: [Lock<Option<Churn>>; churn::TASKS] = [const { Lock::new(None) }; churn::TASKS];
static RANGES: Lock<Option<Ranges>> = Lock::new(None);
static AREA: Lock<Option<Area>> = Lock::new(None);
static HOTPLUG: Lock<Option<Hotplug>> = Lock::new(None);
static ISOLATION: Lock<Option<Isolation>> = Lock::new(None);
static UPKEEP: Lock<Option<Upkeep>> = Lock::new(None);

/// Some blocks have guards.
pub(super) fn tuning() -> Tuning {
    Tuning::default().guard_below(Order::new(1))
}

/// Runs the rounds.
pub(super) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let jobs = load::jobs(config)?;
    let started = time::now_us();
    let goal = Goal::new(config, started);
    audit_log::reset();
    events::keep(allocator());
    allocator().drain_all();
    let before = Balance::now();
    let mut rounds = 0;
    let mut judge = Judge::new();
    loop {
        let seed = config.seed.wrapping_add(rounds);
        contents::set_seed(seed);
        let free = allocator().free_count();
        let plan = Plan::new(seed, jobs, free.min(USED_BY_JOBS), free / 4 + pages_in(HEADROOM_MIB));
        load::run_round(jobs, plan, Audits::Exact, tasks(seed, rounds, goal));
        hotplug::restore();
        allocator().drain_all();
        audit_log::audit_now();
        counts::VERIFICATIONS.add(1);
        load::judge(&mut judge);
        let after = Balance::now();
        if after != before {
            judge.broken(format_args!("{before} before, {after} after"));
        }
        if allocator().refused_frees() as u64 != counts::REFUSED_FREES.get() {
            let (refused, expected) = (allocator().refused_frees(), counts::REFUSED_FREES.get());
            judge.broken(format_args!("{refused} frees were refused instead of {expected}"));
        }
        rounds += 1;
        if judge.is_broken() || driver::has_failed() {
            judge.broken(format_args!("in round {rounds}, whose seed is {seed}"));
            break;
        }
        if goal.is_reached() {
            break;
        }
    }
    counts::report(rounds);
    report::stats([
        (stat::INTERRUPT_ALLOCATIONS, interrupts::operations()),
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::ALLOCATIONS, pages::allocations()),
        (stat::WALL_MS, (time::now_us() - started) / 1000),
    ]);
    let next = config.seed.wrapping_add(rounds);
    report::note(format_args!("a run with --seed {next} goes on where this one ended"));
    Ok(judge.verdict())
}

/// The tasks of a round beside the jobs.
fn tasks(seed: u64, round: u64, goal: Goal) -> impl Iterator<Item = TaskRef> {
    *DRIVER.lock() = Some(Driver::new(goal, seed, round));
    for (number, task) in CHURN.iter().enumerate() {
        *task.lock() = Some(Churn::new(number, seed));
    }
    *RANGES.lock() = Some(ranges::task(seed));
    *AREA.lock() = memory::cma().map(|area| area::task(area, seed));
    *HOTPLUG.lock() = Some(Hotplug::new(seed));
    *ISOLATION.lock() = Some(Isolation::new(seed));
    *UPKEEP.lock() = Some(Upkeep::new(seed));
    let others: [TaskRef; 6] = [&DRIVER, &RANGES, &AREA, &HOTPLUG, &ISOLATION, &UPKEEP];
    CHURN.iter().map(|task| task as TaskRef).chain(others)
}
