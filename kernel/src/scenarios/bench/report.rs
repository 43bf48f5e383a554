//! The report: progress, and a row for each workload.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock_protocol::{Line, Value, stat};

use crate::scenarios::bench::counter::{Calibration, Instructions};
use crate::scenarios::bench::reference::Workload;
use crate::{report, smp};

/// Reports the next step of the benchmark.
pub(super) fn progress(label: &str) {
    /// The steps on one CPU: one in `pages`, 2 * 8 in `random`, three in `contig`
    /// and in `masked`, and `storm`.
    const STEPS: u64 = 1 + 2 * 8 + 3 + 3 + 1;
    static DONE: AtomicU64 = AtomicU64::new(0);
    let total = if smp::cpu_count() == 1 { STEPS } else { 1 };
    let done = DONE.fetch_add(1, Ordering::Relaxed);
    report::line(Line::Progress { done, total, label: label.into() });
}

fn cell(key: &str, value: Value<'_>) {
    report::line(Line::Cell { key, value });
}

/// Reports notes that explain the columns.
pub(super) fn explain() {
    report::note(format_args!(
        "instructions: guest instructions for each operation in the owner-only mode, with interrupts \
         masked on one CPU; memory is not zeroed; default mode: the same in the default mode, on frames \
         that do not exist"
    ));
    report::note(format_args!(
        "masked: the longest time with interrupts masked in such calls, in instructions, on frames that do \
         not exist, of a machine with 64 CPUs, 4 GiB and a CMA area of 16 GiB, in the default mode"
    ));
    report::note(format_args!(
        "linux 7.2 lean: the instructions of Linux 7.2.13, measured elsewhere with a minimal \
         configuration on the same machine model; of linux: our instructions divided by these"
    ));
}

/// Reports the measurement of a loop of known length.
pub(super) fn calibration(found: &Calibration) {
    let name = if found.known == 2 { "calibration-loop" } else { "calibration-body" };
    let (known, read) = (found.known.cast_signed(), found.read.thousandths());
    report::row(name, [("known", Value::Integer(known)), ("read", Value::Thousandths(read))]);
}

/// Reports the instructions of an operation, which was measured in the owner-only mode only.
pub(super) fn whole(workload: Workload, read: Instructions) {
    row(workload, read, None);
}

/// The instructions of an operation in one access mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    whole: Instructions,
    /// Those of an allocation and of a free, if the operation is both.
    parts: Option<[Instructions; 2]>,
}

impl Figure {
    pub(super) const fn whole(whole: Instructions) -> Self {
        Self { whole, parts: None }
    }

    pub(super) const fn pair(alloc: Instructions, free: Instructions) -> Self {
        Self { whole: alloc.plus(free), parts: Some([alloc, free]) }
    }
}

/// Reports an operation in the owner-only mode and, if it was measured, in the default mode.
pub(super) fn figure(workload: Workload, owner_only: Figure, default: Option<Figure>) {
    report::line(Line::Row(workload.name));
    if let Some(default) = default {
        cell("default_mode", Value::Thousandths(default.whole.thousandths()));
    }
    cells(workload, owner_only.whole, owner_only.parts);
}

fn row(workload: Workload, read: Instructions, parts: Option<[Instructions; 2]>) {
    report::line(Line::Row(workload.name));
    cells(workload, read, parts);
}

fn cells(workload: Workload, read: Instructions, parts: Option<[Instructions; 2]>) {
    cell(stat::INSTRUCTIONS, Value::Thousandths(read.thousandths()));
    for (key, part) in ["alloc", "free"].into_iter().zip(parts.into_iter().flatten()) {
        cell(key, Value::Thousandths(part.thousandths()));
    }
    for (key, reference) in [(stat::TARGET, workload.target), ("linux_7.2_lean", workload.linux)] {
        if let Some(reference) = reference {
            cell(key, Value::Integer(reference.cast_signed()));
        }
    }
    if let Some(linux) = workload.linux {
        let ratio = Instructions::mean(read.thousandths().cast_unsigned(), linux * 1000);
        cell("of_linux", Value::Thousandths(ratio.thousandths()));
    }
}
