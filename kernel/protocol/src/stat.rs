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

/// The size of the CMA area in MiB. It consists of whole pageblocks, so it may be larger than the
/// command line asks for. Not a measurement: the same in every boot with the same command line.
pub const CMA_AREA_MIB: &str = "cma_area_mib";

/// Rounds of taking memory offline and bringing it back.
pub const ROUNDS: &str = "rounds";
/// Rounds in which less went offline than was wanted.
pub const SHORT_ROUNDS: &str = "short_rounds";
/// Blocks that the machine's memory is cut into.
pub const BLOCKS: &str = "blocks";
/// Blocks that hold nothing but managed memory of one zone.
pub const BLOCKS_REMOVABLE: &str = "blocks_removable";
/// Blocks that each round takes offline.
pub const BLOCKS_PER_ROUND: &str = "blocks_per_round";
/// Blocks taken offline, all rounds together.
pub const BLOCKS_OFFLINED: &str = "blocks_offlined";
/// Blocks brought online.
pub const BLOCKS_ONLINED: &str = "blocks_onlined";
/// Attempts to take a block offline that failed. The rows say what was in the way.
pub const FAILURES: &str = "failures";
/// Attempts that were made again after a failure.
pub const RETRIES: &str = "retries";
/// Calls of the hotplug notifier.
pub const CALLBACKS: &str = "callbacks";
/// Calls that it answered with a veto.
pub const VETOES: &str = "vetoes";
/// Managed pages at the start.
pub const MANAGED_PAGES_BEFORE: &str = "managed_pages.before";
/// Managed pages when most were offline.
pub const MANAGED_PAGES_LEAST: &str = "managed_pages.least";
/// Managed pages at the end.
pub const MANAGED_PAGES_AFTER: &str = "managed_pages.after";
/// The min watermarks of all zones together at the start.
pub const MIN_WATERMARK_BEFORE: &str = "min_watermark.before";
/// The min watermarks when most memory was offline.
pub const MIN_WATERMARK_LEAST: &str = "min_watermark.least";
/// The min watermarks at the end.
pub const MIN_WATERMARK_AFTER: &str = "min_watermark.after";
/// Times that the watermarks changed with a block that went or came.
pub const WATERMARKS_RECALCULATED: &str = "watermarks_recalculated";

/// Allocations and frees that the operations were counted of.
pub const ALLOCATIONS_AND_FREES: &str = "allocations_and_frees";

/// What the `bench` scenario must report, beside a row for each workload. Summed over its boots.
pub const BENCH_REQUIRED: [&str; 6] = [
    ALLOCATIONS_AND_FREES,
    MAX_ABS_DRIFT_PAGES,
    PAGES_MIGRATED,
    CONTENTS_CHECKED,
    CONTENTS_CORRUPTED,
    WALL_MS,
];

/// What the `hotplug` scenario must report, beside a row for each block.
pub const HOTPLUG_REQUIRED: [&str; 30] = [
    ROUNDS,
    SHORT_ROUNDS,
    BLOCKS,
    BLOCKS_REMOVABLE,
    BLOCKS_PER_ROUND,
    BLOCKS_OFFLINED,
    BLOCKS_ONLINED,
    FAILURES,
    RETRIES,
    CALLBACKS,
    VETOES,
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
    MANAGED_PAGES_BEFORE,
    MANAGED_PAGES_LEAST,
    MANAGED_PAGES_AFTER,
    MIN_WATERMARK_BEFORE,
    MIN_WATERMARK_LEAST,
    MIN_WATERMARK_AFTER,
    WATERMARKS_RECALCULATED,
    WALL_MS,
];

/// What the `faults` scenario must report, beside a row for each fault. Summed over its boots.
pub const FAULTS_REQUIRED: [&str; 6] =
    [AUDITS, PAGES_MIGRATED, CONTENTS_CHECKED, CONTENTS_CORRUPTED, ALLOCATIONS, WALL_MS];

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
pub const DESIGNS_REQUIRED: [&str; 8] =
    [SUCCEEDED, FAILED, AUDITS, PAGES_MIGRATED, CONTENTS_CHECKED, CONTENTS_CORRUPTED, ALLOCATIONS, WALL_MS];

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
