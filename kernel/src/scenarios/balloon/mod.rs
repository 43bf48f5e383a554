//! Free memory goes back to the host: what the host sees of a demand that rises and falls.
//!
//! Processes use memory, more and more and then less, several times. A task reports the free memory
//! some time after it has become free. The launcher watches the resident memory of QEMU.
//!
//! | file | what |
//! |---|---|
//! | `demand` | the task that uses memory: processes that begin and end |
//! | `host` | the balloon device, and the batch that the host is being told of |
//! | `witness` | a user of memory while the host is being told of other memory |
//! | `reporter` | the task that reports free memory to the host |

mod demand;
mod host;
mod reporter;
mod witness;

use pageblock_protocol::{BootConfig, Verdict, stat};

use crate::devices::balloon::Balloon;
use crate::jobs::executor::{self, TaskRef};
use crate::memory::allocator;
use crate::report;
use crate::scenarios::audit_log;
use crate::scenarios::balloon::demand::Demand;
use crate::scenarios::balloon::reporter::Reporter;
use crate::scenarios::frames::pages_in;
use crate::scenarios::verdict::{Judge, Refused, refuse};
use crate::space::{contents, pages};
use crate::sync::Lock;
use crate::time;

static DEMAND: Lock<Option<Demand>> = Lock::new(None);
static REPORTER: Lock<Option<Reporter>> = Lock::new(None);

/// Lets the demand rise and fall as often as `config` says, or does nothing for a while.
pub(super) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let started = time::now_us();
    contents::set_seed(config.seed);
    audit_log::reset();
    allocator().drain_all();
    let (free, peak) = (allocator().free_count(), pages_in(config.chunk_mib));
    let balloon = Balloon::open().map_err(|error| refuse(format_args!("{error}")))?;
    if peak + peak / 8 > free {
        return Err(refuse(format_args!("chunk={}: {free} pages are free", config.chunk_mib)));
    }
    let delay_us = u64::from(config.interval_ms) * 1000;
    let demand = Demand::new(config, peak)
        .ok_or_else(|| refuse(format_args!("there is no memory for the table of processes")))?;
    *DEMAND.lock() = Some(demand);
    *REPORTER.lock() = config.report.then(|| Reporter::new(delay_us));
    host::connect(balloon);
    executor::run([&DEMAND as TaskRef, &REPORTER]);
    let broken = DEMAND.lock().take().and_then(|demand| demand.failure);
    let error = host::disconnect();
    let (largest, witness) =
        REPORTER.lock().take().map_or_else(Default::default, |reporter| (reporter.largest, reporter.witness));
    allocator().drain_all();
    audit_log::audit_now();

    let (audits, events) = (audit_log::summary(), allocator().vmstat().total());
    report::stats([
        (stat::RETURNED_MIB, (largest.pages / pages_in(1)) as u64),
        (stat::RETURN_MS, largest.us.div_ceil(1000)),
        (stat::REPORTED_PAGES, events.report_pages),
        (stat::RECALLED_PAGES, events.report_recall_pages),
        (stat::PAGES_USED_DURING_REPORTS, witness.pages),
        (stat::RANGES_WAITED_FOR, witness.ranges),
        (stat::MISSED_PAGES, audits.missed_pages),
        (stat::MAX_ABS_DRIFT_PAGES, audits.max_abs_drift),
        (stat::AUDITS, audits.audits),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::ALLOCATIONS, pages::allocations()),
        (stat::WALL_MS, (time::now_us() - started) / 1000),
    ]);
    let mut judge = Judge::new();
    if !audits.is_clean() {
        judge.broken(format_args!(
            "{} pages missed, a counter off by up to {}",
            audits.missed_pages, audits.max_abs_drift
        ));
    }
    judge.check_memory();
    judge.check_free_count(free);
    if let Some(pages) = broken {
        judge.broken(format_args!("a request failed while {pages} pages were in use"));
    }
    if let Some(error) = error {
        judge.broken(format_args!("the host has not acknowledged a report: {error}"));
    }
    Ok(judge.verdict())
}
