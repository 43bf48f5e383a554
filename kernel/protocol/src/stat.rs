//! The names of the measurements that the kernel reports with
//! [`Line::Stat`](crate::Line::Stat).
//!
//! A name may be reported more than once; the last value counts. The launcher
//! prints names that it does not know as they are.

/// Contiguous allocations that succeeded.
pub const SUCCEEDED: &str = "succeeded";
/// Contiguous allocations that failed.
pub const FAILED: &str = "failed";
/// Pages by which the free counts were wrong in the end: the sum of |drift|.
pub const MISSED_PAGES: &str = "missed_pages";
/// The largest |drift| that any audit of any counter found, in pages.
pub const MAX_ABS_DRIFT_PAGES: &str = "max_abs_drift_pages";
/// Exact audits made.
pub const AUDITS: &str = "audits";
/// Pages moved to another frame.
pub const PAGES_MIGRATED: &str = "pages_migrated";
/// Pages whose contents were compared with what was written.
pub const CONTENTS_CHECKED: &str = "contents_checked";
/// Pages whose contents were wrong.
pub const CONTENTS_CORRUPTED: &str = "contents_corrupted";
/// Page allocations of all kinds.
pub const ALLOCATIONS: &str = "allocations";
/// Microseconds that the fastest contiguous allocation took.
pub const LATENCY_US_MIN: &str = "latency_us.min";
/// Microseconds that half of the contiguous allocations stayed within.
pub const LATENCY_US_P50: &str = "latency_us.p50";
/// Microseconds that 99 % of the contiguous allocations stayed within.
pub const LATENCY_US_P99: &str = "latency_us.p99";
/// Microseconds that the slowest contiguous allocation took.
pub const LATENCY_US_MAX: &str = "latency_us.max";
/// Milliseconds that the scenario took inside the guest, without booting.
pub const WALL_MS: &str = "wall_ms";

/// Milliseconds from reset to the start of the scenario.
pub const BOOT_MS: &str = "boot_ms";
/// Page allocations that failed for lack of memory.
pub const ALLOCATIONS_FAILED: &str = "allocations_failed";
/// Page allocations and frees made by the timer interrupts.
pub const INTERRUPT_ALLOCATIONS: &str = "interrupt_allocations";
/// Jobs that ran to their end.
pub const JOBS_FINISHED: &str = "jobs_finished";
/// Movable pages that lay in the CMA area at the most.
pub const CMA_PAGES_USED_PEAK: &str = "cma_pages_used_peak";
/// Requests to other CPUs to flush translations.
pub const TLB_SHOOTDOWNS: &str = "tlb_shootdowns";

/// What the `cma` scenario must report.
pub const CMA_REQUIRED: [&str; 14] = [
    SUCCEEDED,
    FAILED,
    MISSED_PAGES,
    MAX_ABS_DRIFT_PAGES,
    AUDITS,
    PAGES_MIGRATED,
    CONTENTS_CHECKED,
    CONTENTS_CORRUPTED,
    ALLOCATIONS,
    LATENCY_US_MIN,
    LATENCY_US_P50,
    LATENCY_US_P99,
    LATENCY_US_MAX,
    WALL_MS,
];

/// What the `designs` scenario must report, beside a row for each design.
pub const DESIGNS_REQUIRED: [&str; 8] = [
    SUCCEEDED,
    FAILED,
    AUDITS,
    PAGES_MIGRATED,
    CONTENTS_CHECKED,
    CONTENTS_CORRUPTED,
    ALLOCATIONS,
    WALL_MS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_words_and_different() {
        for (i, name) in CMA_REQUIRED.iter().enumerate() {
            assert!(!name.is_empty() && !name.contains(char::is_whitespace));
            assert!(!CMA_REQUIRED[..i].contains(name), "{name} is there twice");
        }
    }
}
