//! The names of the measurements that the kernel reports with [`Line::Stat`](crate::Line::Stat).
//!
//! If a name is reported more than once, the last value counts. Unknown names are printed
//! unchanged.

/// Contiguous allocations that succeeded.
pub const SUCCEEDED: &str = "succeeded";
/// Contiguous allocations that failed.
pub const FAILED: &str = "failed";
/// The sum, over successive audits and over zones, of |change of the drift of the free counter|.
pub const MISSED_PAGES: &str = "missed_pages";
/// The largest |drift| of any counter in any audit, in pages.
pub const MAX_ABS_DRIFT_PAGES: &str = "max_abs_drift_pages";
/// The number of audits.
pub const AUDITS: &str = "audits";
/// Pages migrated to another frame.
pub const PAGES_MIGRATED: &str = "pages_migrated";
/// Pages whose contents were compared with what was written.
pub const CONTENTS_CHECKED: &str = "contents_checked";
/// Pages whose contents were wrong.
pub const CONTENTS_CORRUPTED: &str = "contents_corrupted";
/// Page allocations of all kinds.
pub const ALLOCATIONS: &str = "allocations";
/// The shortest contiguous allocation (with `hotplug`: offlining of a block), in microseconds.
pub const LATENCY_US_MIN: &str = "latency_us.min";
/// The median duration of a contiguous allocation, in microseconds.
pub const LATENCY_US_P50: &str = "latency_us.p50";
/// The 99th percentile of the durations, in microseconds. Not of fewer than a hundred.
pub const LATENCY_US_P99: &str = "latency_us.p99";
/// The longest contiguous allocation, in microseconds.
pub const LATENCY_US_MAX: &str = "latency_us.max";
/// The duration of the scenario in the guest, without the boot, in milliseconds.
pub const WALL_MS: &str = "wall_ms";

/// Page allocations that failed for lack of memory.
pub const ALLOCATIONS_FAILED: &str = "allocations_failed";
/// Page allocations and frees in timer interrupts.
pub const INTERRUPT_ALLOCATIONS: &str = "interrupt_allocations";
/// Processes of jobs that ran to their end.
pub const JOBS_FINISHED: &str = "jobs_finished";
/// The most movable pages that were in the CMA area at a time.
pub const CMA_PAGES_USED_PEAK: &str = "cma_pages_used_peak";
/// TLB shootdowns.
pub const TLB_SHOOTDOWNS: &str = "tlb_shootdowns";

/// The time that all CPUs together spent on samples, and on the display, in milliseconds.
pub const SAMPLES_CPU_MS: &str = "samples_cpu_ms";

/// The size of the CMA area in MiB. It consists of whole pageblocks, so it may be larger than the
/// command line asks for. Not a measurement: the same in every boot with the same command line.
pub const CMA_AREA_MIB: &str = "cma_area_mib";

/// Rounds in which memory went offline and online again.
pub const ROUNDS: &str = "rounds";
/// Rounds in which fewer blocks went offline than planned.
pub const SHORT_ROUNDS: &str = "short_rounds";
/// The number of memory blocks.
pub const BLOCKS: &str = "blocks";
/// Blocks that can go offline: all their frames are managed and in one zone.
pub const BLOCKS_REMOVABLE: &str = "blocks_removable";
/// The number of blocks that each round takes offline.
pub const BLOCKS_PER_ROUND: &str = "blocks_per_round";
/// Blocks that went offline, in all rounds.
pub const BLOCKS_OFFLINED: &str = "blocks_offlined";
/// Blocks that went online, in all rounds.
pub const BLOCKS_ONLINED: &str = "blocks_onlined";
/// Failed attempts to take a block offline. The rows give the reasons.
pub const FAILURES: &str = "failures";
/// Attempts after a failure in the same round.
pub const RETRIES: &str = "retries";
/// Calls of the hotplug notifier.
pub const CALLBACKS: &str = "callbacks";
/// Vetoes of the hotplug notifier.
pub const VETOES: &str = "vetoes";
/// Managed pages at the start.
pub const MANAGED_PAGES_BEFORE: &str = "managed_pages.before";
/// The fewest managed pages at any time.
pub const MANAGED_PAGES_LEAST: &str = "managed_pages.least";
/// Managed pages at the end.
pub const MANAGED_PAGES_AFTER: &str = "managed_pages.after";
/// The sum of the min watermarks of all zones at the start.
pub const MIN_WATERMARK_BEFORE: &str = "min_watermark.before";
/// The lowest sum of the min watermarks at any time.
pub const MIN_WATERMARK_LEAST: &str = "min_watermark.least";
/// The sum of the min watermarks at the end.
pub const MIN_WATERMARK_AFTER: &str = "min_watermark.after";
/// Changes of the watermarks by a block that went offline or online.
pub const WATERMARKS_RECALCULATED: &str = "watermarks_recalculated";

/// Calls of the allocator that changed its state, of every kind.
pub const OPERATIONS: &str = "operations";
/// The same by kind: blocks allocated and freed.
pub const OPERATIONS_BLOCKS: &str = "operations_on.blocks";
/// Contiguous and exact ranges allocated and freed.
pub const OPERATIONS_RANGES: &str = "operations_on.ranges";
/// Ranges of the CMA area allocated and freed.
pub const OPERATIONS_CMA: &str = "operations_on.cma";
/// Ranges taken offline and online, removed and added.
pub const OPERATIONS_HOTPLUG: &str = "operations_on.hotplug";
/// Ranges isolated and released.
pub const OPERATIONS_ISOLATION: &str = "operations_on.isolation";
/// Frames retired by a soft offline.
pub const OPERATIONS_RETIRED: &str = "operations_on.retired_frames";
/// Drains of all pcplists.
pub const OPERATIONS_DRAINS: &str = "operations_on.drains";
/// Frees that must be refused and were.
pub const REFUSED_FREES: &str = "refused_frees";
/// Verifications of all records.
pub const VERIFICATIONS: &str = "verifications";
/// Events of the slow paths that the allocator reported.
pub const EVENTS: &str = "events";

/// What the `soak` scenario must report.
pub const SOAK_REQUIRED: [&str; 20] = [
    OPERATIONS,
    AUDITS,
    MISSED_PAGES,
    CONTENTS_CORRUPTED,
    EVENTS,
    ROUNDS,
    MAX_ABS_DRIFT_PAGES,
    VERIFICATIONS,
    OPERATIONS_BLOCKS,
    OPERATIONS_RANGES,
    OPERATIONS_CMA,
    OPERATIONS_HOTPLUG,
    OPERATIONS_ISOLATION,
    OPERATIONS_RETIRED,
    OPERATIONS_DRAINS,
    REFUSED_FREES,
    INTERRUPT_ALLOCATIONS,
    PAGES_MIGRATED,
    CONTENTS_CHECKED,
    WALL_MS,
];

/// Requests that a device has completed.
pub const REQUESTS: &str = "requests";
/// Bytes that a device has read from memory or written to it.
pub const BYTES: &str = "bytes";
/// Blocks that the guest has written to the disk: the sum of the numbers of writes of all blocks.
pub const DISK_BLOCKS_WRITTEN: &str = "disk_blocks_written";
/// Blocks of the disk that are not what was written there. The guest counts those that it has read,
/// and the launcher adds those that it finds in the file after the run.
pub const DISK_CORRUPTED: &str = "disk_corrupted";
/// Buffers that were allocated for a device.
pub const BUFFERS: &str = "buffers";
/// Buffers that were not allocated. The rows give the frames that were in the way, and why.
pub const BUFFERS_REFUSED: &str = "buffers_refused";
/// Attempts to isolate a frame of a buffer in flight, which were refused with that frame.
pub const ISOLATIONS_REFUSED: &str = "isolations_refused";

/// The column with why a request was refused. The row is named after the frame that was in the way.
pub const REASON: &str = "reason";
/// The column with what an operation costs, in guest instructions.
pub const INSTRUCTIONS: &str = "instructions";
/// The column with what else was measured.
pub const MEASURED: &str = "measured";
/// The column with the most that either may be. A row that has more misses its target.
pub const TARGET: &str = "target";

/// Allocations and frees of the workload on all CPUs.
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
pub const HOTPLUG_REQUIRED: [&str; 29] = [
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
pub const CMA_REQUIRED: [&str; 13] = [
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
    LATENCY_US_MAX,
    WALL_MS,
];

/// What the `dma` scenario must report, beside a row for each kind of device and for each refusal.
pub const DMA_REQUIRED: [&str; 18] = [
    REQUESTS,
    BYTES,
    DISK_BLOCKS_WRITTEN,
    DISK_CORRUPTED,
    BUFFERS,
    BUFFERS_REFUSED,
    ISOLATIONS_REFUSED,
    MISSED_PAGES,
    MAX_ABS_DRIFT_PAGES,
    AUDITS,
    PAGES_MIGRATED,
    CONTENTS_CHECKED,
    CONTENTS_CORRUPTED,
    ALLOCATIONS,
    LATENCY_US_MIN,
    LATENCY_US_P50,
    LATENCY_US_MAX,
    WALL_MS,
];

/// The most memory that one round of reports gave back to the host, in MiB.
pub const RETURNED_MIB: &str = "returned_mib";
/// The time that this round took, from the end of the delay on, in milliseconds.
pub const RETURN_MS: &str = "return_ms";
/// Pages that the host has acknowledged, in all rounds.
pub const REPORTED_PAGES: &str = "reported_pages";
/// Pages of blocks that were taken back before the host was told of them.
pub const RECALLED_PAGES: &str = "recalled_pages";
/// Pages that were allocated and written after the host had been told of other pages, and before it
/// had acknowledged those.
pub const PAGES_USED_DURING_REPORTS: &str = "pages_used_during_reports";

/// Contiguous ranges that were a part of what the host was being told of, and were allocated when
/// it had acknowledged that.
pub const RANGES_WAITED_FOR: &str = "ranges_waited_for";

/// What the `balloon` scenario must report.
pub const BALLOON_REQUIRED: [&str; 12] = [
    RETURNED_MIB,
    RETURN_MS,
    REPORTED_PAGES,
    RECALLED_PAGES,
    PAGES_USED_DURING_REPORTS,
    RANGES_WAITED_FOR,
    MISSED_PAGES,
    MAX_ABS_DRIFT_PAGES,
    AUDITS,
    CONTENTS_CHECKED,
    CONTENTS_CORRUPTED,
    ALLOCATIONS,
];

/// Changes of the size of the memory device that the guest has followed.
pub const RESIZES: &str = "resizes";
/// Of these, those after which another size was plugged than was requested.
pub const SHORT_RESIZES: &str = "short_resizes";
/// The most memory that was plugged at a time, in MiB.
pub const PLUGGED_MAX_MIB: &str = "plugged_max_mib";
/// Blocks that were plugged.
pub const BLOCKS_PLUGGED: &str = "blocks_plugged";
/// Blocks that were unplugged.
pub const BLOCKS_UNPLUGGED: &str = "blocks_unplugged";
/// DIMMs that were inserted, and whose memory was added.
pub const DIMMS_INSERTED: &str = "dimms_inserted";
/// DIMMs that were ejected.
pub const DIMMS_REMOVED: &str = "dimms_removed";
/// Requests of the host for a DIMM that the guest has refused, because a page was pinned. The rows
/// give the frame.
pub const DIMMS_REFUSED: &str = "dimms_refused";
/// How often a block was not plugged or not unplugged. The rows give the frames and the reasons.
pub const BLOCKS_REFUSED: &str = "blocks_refused";
/// Changes, also those by DIMMs, after which the host has compared its size with the guest's. The
/// launcher reports it.
pub const SIZES_COMPARED: &str = "sizes_compared";
/// The resident memory of QEMU before anything was plugged, in MiB. The launcher reports it.
pub const RESIDENT_MIB_BEFORE: &str = "resident_mib_before";
/// The highest resident memory of QEMU after a resize, in MiB. The launcher reports it.
pub const RESIDENT_MIB_PEAK: &str = "resident_mib_peak";
/// The resident memory of QEMU after everything was unplugged, in MiB. The launcher reports it.
pub const RESIDENT_MIB_AFTER_UNPLUG: &str = "resident_mib_after_unplug";

/// What the `plug` scenario must report, beside a row for each refusal.
pub const PLUG_REQUIRED: [&str; 23] = [
    RESIZES,
    SHORT_RESIZES,
    SIZES_COMPARED,
    PLUGGED_MAX_MIB,
    BLOCKS_PLUGGED,
    BLOCKS_UNPLUGGED,
    DIMMS_INSERTED,
    DIMMS_REMOVED,
    DIMMS_REFUSED,
    BLOCKS_REFUSED,
    RESIDENT_MIB_BEFORE,
    RESIDENT_MIB_PEAK,
    RESIDENT_MIB_AFTER_UNPLUG,
    MISSED_PAGES,
    MAX_ABS_DRIFT_PAGES,
    AUDITS,
    PAGES_MIGRATED,
    CONTENTS_CHECKED,
    CONTENTS_CORRUPTED,
    ALLOCATIONS,
    LATENCY_US_MIN,
    LATENCY_US_P50,
    LATENCY_US_MAX,
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
