//! Says what was measured, a row for each workload. Neighbour: [`reference`](super::reference), which has what it is
//! compared with.

use pageblock_protocol::{Line, Text, Value};

use super::counter::{Calibration, Instructions};
use super::reference::Workload;
use crate::report;

fn cell(key: &str, value: Value<'_>) {
    report::line(Line::Cell { key, value });
}

/// Says once what the columns are.
pub(super) fn explain() {
    for note in [
        "instructions: guest instructions for each operation, with interrupts masked on one CPU; memory is not zeroed",
        "linux 7.2 lean: what Linux 7.2.13 takes, measured elsewhere with a minimal configuration on the same machine model; \
         of linux: our share of that",
    ] {
        report::line(Line::Note(Text::new(format_args!("{note}"))));
    }
}

/// What a loop of known length reads.
pub(super) fn calibration(found: &Calibration) {
    report::line(Line::Row(if found.known == 2 { "calibration-loop" } else { "calibration-body" }));
    cell("known", Value::Integer(found.known.cast_signed()));
    cell("read", Value::Thousandths(found.read.thousandths()));
}

/// What a workload takes, as a whole.
pub(super) fn whole(workload: Workload, read: Instructions) {
    row(workload, read, None);
}

/// What a workload of allocations and frees takes, together and apart.
pub(super) fn pair(workload: Workload, alloc: Instructions, free: Instructions) {
    row(workload, alloc.plus(free), Some([alloc, free]));
}

fn row(workload: Workload, read: Instructions, parts: Option<[Instructions; 2]>) {
    report::line(Line::Row(workload.name));
    cell("instructions", Value::Thousandths(read.thousandths()));
    for (key, part) in ["alloc", "free"].into_iter().zip(parts.into_iter().flatten()) {
        cell(key, Value::Thousandths(part.thousandths()));
    }
    for (key, reference) in [("target", workload.target), ("linux_7.2_lean", workload.linux)] {
        if let Some(reference) = reference {
            cell(key, Value::Integer(reference.cast_signed()));
        }
    }
    if let Some(linux) = workload.linux {
        let ratio = Instructions::mean(read.thousandths().cast_unsigned(), linux * 1000);
        cell("of_linux", Value::Thousandths(ratio.thousandths()));
    }
}
