//! Says what was measured, a row for each workload. Neighbour: [`reference`](super::reference), which has what it is
//! compared with.

use pageblock_protocol::{Line, Value};

use super::counter::{Calibration, Instructions};
use super::reference::Workload;
use crate::report;

fn cell(key: &str, value: Value<'_>) {
    report::line(Line::Cell { key, value });
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
