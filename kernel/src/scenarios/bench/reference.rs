//! The reference figures of each workload: those of Linux, and the targets of this project.
//!
//! The figures of Linux are measurements of version 7.2.13 with a minimal configuration ("lean":
//! SMP, huge pages and CMA on; no NUMA, memory control groups, list hardening, mitigations or
//! tracing), made with the method of this scenario: one virtual CPU, 1 GiB, `-cpu qemu64`, `-icount
//! shift=0`, zeroing off, interrupts masked in timed parts, loops timed by the TSC in a kernel
//! module.

/// A workload with its reference figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    /// The instructions of Linux.
    pub(super) linux: Option<u64>,
    /// The target: at most this many instructions.
    pub(super) target: Option<u64>,
}

const fn workload(name: &'static str, linux: Option<u64>, target: Option<u64>) -> Workload {
    Workload { name, linux, target }
}

pub(super) const ORDER_0_PAIR: Workload = workload("order-0-pair", Some(542), Some(90));
pub(super) const ORDER_3_PAIR: Workload = workload("order-3-pair", Some(676), None);
pub(super) const ORDER_4_PAIR: Workload = workload("order-4-pair", Some(906), None);
pub(super) const ORDER_9_PAIR: Workload = workload("order-9-pair", Some(6220), Some(200));
pub(super) const BURST: Workload = workload("burst-of-1024-shuffled", Some(549), Some(140));
pub(super) const LARGE_BURST: Workload = workload("burst-of-65536-shuffled", Some(744), Some(250));
pub(super) const BULK_ALLOC: Workload = workload("bulk-of-512-alloc-per-page", Some(75), Some(40));
pub(super) const BULK_FREE: Workload = workload("bulk-of-512-free-per-page", Some(236), Some(60));
pub(super) const RANDOM: Workload = workload("random-orders-at-half-per-operation", Some(913), None);
pub(super) const RANDOM_WORST_ALLOC: Workload = workload("random-orders-worst-alloc", None, Some(10_000));
pub(super) const RANDOM_WORST_FREE: Workload =
    workload("random-orders-worst-free", Some(409_487), Some(10_000));
pub(super) const GEOMETRIC: Workload = workload("geometric-orders-per-operation", Some(312), None);
pub(super) const ISOLATE_AND_UNDO: Workload = workload("isolate-and-undo-a-free-pageblock", None, None);
pub(super) const CONTIG_FREE: Workload = workload("contig-8-mib-all-free", Some(93_000), Some(60_000));
pub(super) const CONTIG_HALF: Workload = workload("contig-8-mib-half-in-use", None, None);
pub(super) const CONTIG_FULL: Workload =
    workload("contig-8-mib-all-in-use", Some(8_800_000), Some(5_000_000));
pub(super) const CONTIG_RELEASE: Workload = workload("contig-8-mib-release", Some(126_000), None);

/// The longest time with interrupts masked in calls of this name.
pub(super) const fn masked(name: &'static str) -> Workload {
    workload(name, None, Some(10_000))
}
