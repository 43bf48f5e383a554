//! The targets of a demand that rises and falls, with the default settings.
//!
//! What is measured consists of several boots and of what the host has seen, so that the launcher
//! compares it. Other settings have other curves, to which the targets do not apply.

use pageblock_protocol::stat;

use crate::command_line::plan::Plan;
use crate::guest::residency::{Purpose, resident_over_used};
use crate::guest::transcript::{Cell, Row, Transcript};
use crate::scenario::spec::Cycle;

/// The most resident memory over the memory in use. HyperAlloc has this in a guest that compiles,
/// where a Linux guest with free page reporting has 1.77.
const RESIDENT_OVER_USED: f64 = 1.37;
/// So much memory must go back to the host in one round of reports, in MiB.
const RETURNED_MIB: i64 = 512;
/// The longest time that this may take, in milliseconds.
const RETURN_MS: i64 = 2000;

/// Adds a row for each target, with what was measured.
pub(super) fn add(plan: &Plan<'_>, transcript: &mut Transcript) {
    if plan.spec.cycle != Cycle::Waves || !plan.has_default_load() {
        return;
    }
    let ratio = resident_over_used(&transcript.residency, Purpose::With);
    let ratio = ratio.map(|ratio| Cell::Decimal((ratio * 1000.0).round() / 1000.0));
    // The round may have returned more, so that this is the most that it took for so much.
    let enough = transcript.stat(stat::RETURNED_MIB).is_some_and(|mib| mib >= RETURNED_MIB);
    let ms = transcript.stat(stat::RETURN_MS).filter(|_| enough).map(Cell::Integer);
    for (name, measured, target) in [
        ("resident-over-used".to_owned(), ratio, Cell::Decimal(RESIDENT_OVER_USED)),
        (format!("ms-to-return-{RETURNED_MIB}-mib"), ms, Cell::Integer(RETURN_MS)),
    ] {
        let measured = measured.unwrap_or_else(|| Cell::Word("never".to_owned()));
        let cells = [(stat::MEASURED, measured), (stat::TARGET, target)];
        let cells = cells.map(|(key, cell)| (key.to_owned(), cell)).into();
        transcript.rows.push(Row { name, cells });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::parse::tests::with_plan;
    use crate::guest::residency::{Point, Residency};

    /// A boot of an idle guest that has 100 MiB, and one that uses 100 MiB for a second.
    fn transcript(resident_mib: u64, returned_mib: i64, return_ms: i64) -> Transcript {
        let point =
            |ms, used_mib: u64, mib: u64| Point { ms, used_kib: used_mib << 10, resident_kib: mib << 10 };
        let mut transcript = Transcript::default();
        for (purpose, points) in [
            (Purpose::Idle, vec![point(0, 0, 100)]),
            (Purpose::With, vec![point(0, 100, 100 + resident_mib), point(1000, 0, 100)]),
        ] {
            transcript.residency.push(Residency { purpose, points });
        }
        transcript.set_stat(stat::RETURNED_MIB, returned_mib);
        transcript.set_stat(stat::RETURN_MS, return_ms);
        transcript
    }

    fn missed(line: &str, mut transcript: Transcript) -> Vec<Option<bool>> {
        with_plan(line, |plan| add(plan, &mut transcript));
        transcript.rows.iter().map(Row::misses_target).collect()
    }

    #[test]
    fn targets_are_compared_with_the_default_settings() {
        for (resident, returned, ms, expected) in
            [(137, 512, 2000, [false, false]), (138, 600, 2001, [true, true]), (100, 511, 1, [false, true])]
        {
            let found = missed("balloon --seed 9", transcript(resident, returned, ms));
            assert_eq!(found, expected.map(Some));
        }
        // The boot with reports is missing.
        let mut part = transcript(100, 600, 1);
        part.residency.pop();
        assert_eq!(missed("balloon", part), [Some(true), Some(false)]);
    }

    #[test]
    fn other_settings_have_no_targets() {
        for line in [
            "balloon --cycles 4",
            "balloon --memory 2048",
            "balloon --cpus 1",
            "balloon --chunk 700",
            "balloon --interval-ms 500",
            "balloon --fault reported-before-acknowledged",
            "cma",
        ] {
            assert_eq!(missed(line, transcript(900, 1, 9000)), [], "{line}");
        }
    }
}
