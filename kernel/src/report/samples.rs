//! Samples for the pictures of a report: what was so at one moment.
//!
//! They are sent only if the command line asks for them, because each takes some time of the CPU that
//! sends it. How much that is in all is counted, and noted at the end of a run.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pageblock_protocol::{Line, Sample};

use crate::report::console::line;
use crate::report::lines::note;
use crate::time;

static ON: AtomicBool = AtomicBool::new(false);
/// The time that all CPUs together spent on samples.
static SPENT_US: AtomicU64 = AtomicU64::new(0);

/// Has samples sent from now on.
pub(crate) fn switch_on() {
    ON.store(true, Ordering::Relaxed);
}

/// Whether samples are sent.
pub(crate) fn are_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Sends a sample, if samples are sent.
pub(crate) fn send(series: &str, sample: Sample<'_>) {
    if are_on() {
        spend(|| line(Line::Sample { series, at_us: time::now_us(), sample }));
    }
}

/// Does work that is only done for samples, and counts its time.
pub(crate) fn spend<R>(work: impl FnOnce() -> R) -> R {
    let since = time::now_us();
    let result = work();
    SPENT_US.fetch_add(time::now_us().saturating_sub(since), Ordering::Relaxed);
    result
}

/// Notes how much time the samples took, of a run of that length on that many CPUs.
pub(crate) fn note_cost(wall_us: u64, cpus: usize) {
    if are_on() {
        let (spent_ms, wall_ms) = (SPENT_US.load(Ordering::Relaxed) / 1000, wall_us / 1000);
        let tenths = (spent_ms * 1000).checked_div(wall_ms * cpus as u64).unwrap_or(0);
        note(format_args!(
            "the samples for the report took {spent_ms} ms of CPU time, {}.{} % of the run",
            tenths / 10,
            tenths % 10
        ));
    }
}
