//! Buffers for a device: a disk reads and writes memory of a CMA area that jobs are using.
//!
//! All CPUs run build-like jobs and timer interrupts allocate, as in the scenario `cma`. A driver
//! allocates buffers of the sizes, with the alignments and below the limits that devices ask for.
//! The disk reads and writes pages directly from and to them, and every page is checked: by the
//! driver what it has read, and by the launcher, which made the file of the disk, what is in the
//! file after the run.
//!
//! | file | what |
//! |---|---|
//! | `disk_pages` | what the disk has, page by page |
//! | `buffer` | what devices ask for, and what a refusal says |
//! | `driver` | the task that allocates the buffers and starts the requests |

mod buffer;
mod disk_pages;
mod driver;

use pageblock::CmaArea;
use pageblock_protocol::{BootConfig, Verdict, stat};

use crate::devices::disk::Disk;
use crate::jobs::Plan;
use crate::jobs::executor::TaskRef;
use crate::memory::{self, allocator};
use crate::scenarios::audit_log;
use crate::scenarios::dma::driver::{Driver, Outcome};
use crate::scenarios::frames::pages_in;
use crate::scenarios::load::{self, Audits};
use crate::scenarios::verdict::{Judge, Refused, refuse};
use crate::space::contents;
use crate::sync::Lock;
use crate::{report, time};

static DRIVER: Lock<Option<Driver>> = Lock::new(None);

/// Runs the scenario.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let (jobs, area) = (load::jobs(config)?, check(config)?);
    let started = time::now_us();
    contents::set_seed(config.seed);
    audit_log::reset();
    allocator().drain_all();
    let free_before = allocator().free_count();
    let disk = Disk::open().map_err(|error| refuse(format_args!("{error}")))?;
    if disk.pages() < pages_in(1) as u64 {
        return Err(refuse(format_args!("a disk of {} pages is too small", disk.pages())));
    }
    let plan = Plan::new(config.seed, jobs, allocator().free_count(), pages_in(config.chunk_mib));
    *DRIVER.lock() = Some(Driver::new(config, area, disk));
    load::run(jobs, plan, Audits::Exact, [&DRIVER as TaskRef]);
    // The disk is closed and its memory freed.
    let outcome = DRIVER.lock().take().map_or_else(Outcome::default, |driver| {
        driver.report();
        driver.into_outcome()
    });
    allocator().drain_all();
    audit_log::audit_now();
    report_numbers(&outcome, (time::now_us() - started) / 1000);
    Ok(judge(&outcome, free_before))
}

fn check(config: &BootConfig<'_>) -> Result<&'static CmaArea<'static>, Refused> {
    let Some(area) = memory::cma() else {
        return Err(refuse(format_args!("cma={}: there is no CMA area", config.cma_mib)));
    };
    let largest = pages_in(config.chunk_mib);
    if largest == 0 || largest > area.range().len() {
        let mib = area.range().len() / pages_in(1);
        return Err(refuse(format_args!(
            "chunk={}: no such buffer fits into the CMA area of {mib} MiB",
            config.chunk_mib
        )));
    }
    Ok(area)
}

fn report_numbers(outcome: &Outcome, wall_ms: u64) {
    report::stats([
        (stat::REQUESTS, outcome.requests),
        (stat::BYTES, outcome.bytes),
        (stat::DISK_BLOCKS_WRITTEN, disk_pages::written()),
        (stat::DISK_CORRUPTED, disk_pages::corrupted()),
        (stat::BUFFERS, outcome.buffers),
        (stat::BUFFERS_REFUSED, outcome.refusals.all()),
        (stat::ISOLATIONS_REFUSED, outcome.isolations_refused),
    ]);
    load::report_counters();
    report::stats([(stat::WALL_MS, wall_ms)]);
    driver::latency().lock().report();
}

fn judge(outcome: &Outcome, free_before: usize) -> Verdict {
    let mut judge = Judge::new();
    load::judge(&mut judge);
    judge.check_free_count(free_before);
    if disk_pages::corrupted() != 0 {
        judge.broken(format_args!("{} pages are not what the disk should have", disk_pages::corrupted()));
    }
    if let Some(broken) = &outcome.broken {
        judge.broken(format_args!("{broken}"));
    }
    judge.verdict()
}
