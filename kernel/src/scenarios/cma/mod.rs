//! The main experiment: contiguous allocations out of a CMA area that jobs are using.
//!
//! All CPUs run build-like jobs, timer interrupts allocate, and every interval one CPU takes a chunk
//! of the CMA area by isolating it, migrating what is mapped there and testing it. Audits run all the
//! time. At the end everything is given back, verified, and compared with the beginning. This file
//! sets the run up and sums it up; neighbours: [`driver`] takes the chunks, [`ballast`] makes a large
//! machine as full as a small one, [`audit_log`](super::audit_log) keeps the record.

mod ballast;
mod driver;

use pageblock::CmaArea;
use pageblock_protocol::{BootConfig, Line, Text, Verdict, stat};

use self::driver::{Driver, Outcome};
use super::audited::pages_in;
use super::{Refused, audit_log, load, refuse};
use crate::jobs::executor::TaskRef;
use crate::jobs::{self, Plan, interrupts};
use crate::memory::{self, allocator};
use crate::space::lock::Lock;
use crate::space::{self, contents, pages};
use crate::{report, smp, time};

/// Free pages that the jobs fill with contents; what a larger machine has beyond is ballast.
const WORKED_PAGES: usize = 1 << 18;

static DRIVER: Lock<Option<Driver>> = Lock::new(None);

/// Runs the experiment.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let (jobs, area) = (load::jobs(config)?, check(config)?);
    let started = time::now_us();
    contents::set_seed(config.seed);
    audit_log::reset();
    allocator().drain_all();
    let free_before = allocator().free_count();
    let ballast = ballast::load(free_before, WORKED_PAGES);
    let headroom = pages_in(config.chunk_mib);
    let plan = Plan::new(config.seed, jobs, allocator().free_count(), headroom);
    *DRIVER.lock() = Some(Driver::new(config, area));
    load::run(jobs, plan, [&DRIVER as TaskRef]);
    drop(ballast);
    allocator().drain_all();
    audit_log::audit_now();
    let outcome = DRIVER.lock().take().map_or_else(Outcome::new, Driver::into_outcome);
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
    let audits = audit_log::summary();
    for (key, value) in [
        (stat::SUCCEEDED, outcome.succeeded),
        (stat::FAILED, outcome.failed),
        (stat::MISSED_PAGES, audits.missed_pages),
        (stat::MAX_ABS_DRIFT_PAGES, audits.max_abs_drift),
        (stat::AUDITS, audits.audits),
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::ALLOCATIONS, pages::allocations()),
        (stat::LATENCY_US_MIN, outcome.latency.min()),
        (stat::LATENCY_US_P50, outcome.latency.percentile(50)),
        (stat::LATENCY_US_P99, outcome.latency.percentile(99)),
        (stat::LATENCY_US_MAX, outcome.latency.max()),
        (stat::WALL_MS, wall_ms),
        (stat::ALLOCATIONS_FAILED, pages::failures()),
        (stat::INTERRUPT_ALLOCATIONS, interrupts::operations()),
        (stat::JOBS_FINISHED, jobs::finished()),
        (stat::CMA_PAGES_USED_PEAK, outcome.cma_used_peak as u64),
        (stat::TLB_SHOOTDOWNS, smp::shootdown::count()),
    ] {
        report::line(Line::Stat { key, value: value.cast_signed() });
    }
}

/// Says what did not hold. Drift has been reported by the audit that found it.
fn judge(outcome: &Outcome, free_before: usize) -> Verdict {
    let mut verdict = Verdict::Held;
    let mut broken = |text: core::fmt::Arguments<'_>| {
        report::line(Line::Broken(Text::new(text)));
        verdict = Verdict::Broken;
    };
    load::judge(&mut broken);
    let free_after = allocator().free_count();
    if free_after != free_before {
        broken(format_args!("{free_before} pages were free before, {free_after} are free after"));
    }
    for violation in &outcome.violations {
        broken(format_args!("{violation}"));
    }
    verdict
}
