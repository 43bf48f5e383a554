//! The main experiment: contiguous allocations from a CMA area that jobs are using.
//!
//! All CPUs run build-like jobs and timer interrupts allocate. In every interval one CPU allocates
//! a chunk of the CMA area: the range is isolated, the pages that are mapped there are migrated,
//! and the range is tested. Audits are made all the time. At the end all memory is freed and
//! verified.
//!
//! | file | what |
//! |---|---|
//! | `memory_pressure` | makes a large machine as short of memory as a small one |
//! | `driver` | allocates the chunks |

mod driver;
mod memory_pressure;

use pageblock::CmaArea;
use pageblock_protocol::{BootConfig, Verdict, stat};

use crate::jobs::executor::TaskRef;
use crate::jobs::{self, Plan, interrupts};
use crate::memory::{self, allocator};
use crate::scenarios::audit_log;
use crate::scenarios::cma::driver::{Driver, Outcome};
use crate::scenarios::frames::pages_in;
use crate::scenarios::load::{self, Audits};
use crate::scenarios::verdict::{Judge, Refused, refuse};
use crate::space::{contents, pages};
use crate::sync::Lock;
use crate::{report, smp, time};

/// The most free pages that the jobs use. On larger machines, most of the rest is allocated.
const USED_BY_JOBS: usize = 1 << 18;

static DRIVER: Lock<Option<Driver>> = Lock::new(None);

/// Runs the experiment.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let (jobs, area) = (load::jobs(config)?, check(config)?);
    let started = time::now_us();
    contents::set_seed(config.seed);
    audit_log::reset();
    allocator().drain_all();
    let free_before = allocator().free_count();
    let pressure = memory_pressure::apply(free_before, USED_BY_JOBS);
    let headroom = pages_in(config.chunk_mib);
    let plan = Plan::new(config.seed, jobs, allocator().free_count(), headroom);
    *DRIVER.lock() = Some(Driver::new(config, area));
    load::run(jobs, plan, Audits::Exact, [&DRIVER as TaskRef]);
    drop(pressure);
    allocator().drain_all();
    audit_log::audit_now();
    let outcome = DRIVER.lock().take().map_or_else(Outcome::default, Driver::into_outcome);
    let wall_ms = (time::now_us() - started) / 1000;
    report_numbers(&outcome, wall_ms);
    Ok(judge(&outcome, free_before))
}

fn check(config: &BootConfig<'_>) -> Result<&'static CmaArea<'static>, Refused> {
    let Some(area) = memory::cma() else {
        return Err(refuse(format_args!("cma={}: there is no CMA area", config.cma_mib)));
    };
    let chunk = pages_in(config.chunk_mib);
    if chunk == 0 || chunk > area.range().len() {
        return Err(refuse(format_args!(
            "chunk={}: does not fit into the CMA area of {} MiB",
            config.chunk_mib,
            area.range().len() / pages_in(1)
        )));
    }
    Ok(area)
}

fn report_numbers(outcome: &Outcome, wall_ms: u64) {
    report::stats([(stat::SUCCEEDED, outcome.succeeded), (stat::FAILED, outcome.failed)]);
    load::report_counters();
    report::stats([
        (stat::WALL_MS, wall_ms),
        (stat::ALLOCATIONS_FAILED, pages::failures()),
        (stat::INTERRUPT_ALLOCATIONS, interrupts::operations()),
        (stat::JOBS_FINISHED, jobs::finished()),
        (stat::CMA_PAGES_USED_PEAK, outcome.cma_used_peak as u64),
        (stat::TLB_SHOOTDOWNS, smp::shootdown::count()),
    ]);
    outcome.latency.report();
}

/// Reports what did not hold. The first audit that found drift has reported it already.
fn judge(outcome: &Outcome, free_before: usize) -> Verdict {
    let mut judge = Judge::new();
    load::judge(&mut judge);
    judge.check_free_count(free_before);
    for violation in &outcome.violations {
        judge.broken(format_args!("{violation}"));
    }
    judge.verdict()
}
