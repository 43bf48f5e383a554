//! Samples for the pictures of a report: what was so at one moment.
//!
//! They are sent only if the command line asks for them, because each takes some time of the CPU
//! that sends it. How much that is in all is counted and reported at the end of a run.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pageblock_protocol::{Line, Sample, stat};

use crate::report::console::line;
use crate::report::lines::stats;
use crate::time;

static ON: AtomicBool = AtomicBool::new(false);
/// The time that all CPUs together spent on samples, and on pictures on the display.
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

/// Does work that is only done for samples or for the display, and counts its time.
pub(crate) fn spend<R>(work: impl FnOnce() -> R) -> R {
    let since = time::now_us();
    let result = work();
    SPENT_US.fetch_add(time::now_us().saturating_sub(since), Ordering::Relaxed);
    result
}

/// Reports how much time the samples and the display took so far, if there are any.
pub(crate) fn report_cost() {
    match SPENT_US.load(Ordering::Relaxed) {
        0 => {}
        spent_us => stats([(stat::SAMPLES_CPU_MS, spent_us / 1000)]),
    }
}
