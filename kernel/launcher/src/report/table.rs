//! The table that a run ends with.

use comfy_table::{Cell, CellAlignment, Table, presets};
use pageblock_protocol::stat;

use crate::guest::transcript::{self, Row, Transcript};
use crate::report::numbers::{count, decimal, thousandths};
use crate::report::run::Run;
use crate::scenario::spec::{Cpus, Cycle};

/// The measurements with a line of their own, the most important first.
const LINES: [(&str, &str); 14] = [
    (stat::MISSED_PAGES, "missed pages"),
    (stat::MAX_ABS_DRIFT_PAGES, "largest drift seen, pages"),
    (stat::AUDITS, "exact audits"),
    (stat::SUCCEEDED, "contiguous allocations made"),
    (stat::FAILED, "contiguous allocations failed"),
    (stat::PAGES_MIGRATED, "pages migrated"),
    (stat::CONTENTS_CHECKED, "page contents checked"),
    (stat::CONTENTS_CORRUPTED, "page contents corrupted"),
    (stat::ALLOCATIONS, "page allocations"),
    (stat::ALLOCATIONS_FAILED, "page allocations failed"),
    (stat::INTERRUPT_ALLOCATIONS, "operations in interrupts"),
    (stat::JOBS_FINISHED, "jobs finished"),
    (stat::CMA_PAGES_USED_PEAK, "CMA pages in use, at most"),
    (stat::TLB_SHOOTDOWNS, "TLB shootdowns"),
];

/// The measurements that share one line.
const LATENCY: [(&str, &str); 4] = [
    (stat::LATENCY_US_MIN, "min"),
    (stat::LATENCY_US_P50, "p50"),
    (stat::LATENCY_US_P99, "p99"),
    (stat::LATENCY_US_MAX, "max"),
];

/// The report of a run, as text.
pub(crate) fn results(run: &Run<'_>) -> String {
    let transcript = &run.outcome.transcript;
    let mut parts = vec![title(run), measurements(transcript, run.plan.spec.cycle).to_string()];
    if !transcript.rows.is_empty() {
        let name = run.plan.spec.row_name.replace('_', " ");
        parts.extend(parts_of(&transcript.rows).map(|part| rows(&name, part).to_string()));
    }
    parts.extend(transcript.notes.iter().map(|note| format!("note: {note}")));
    parts.push(conclusion(run));
    parts.join("\n")
}

fn title(run: &Run<'_>) -> String {
    let (spec, machine, config) = (run.plan.spec, run.plan.machine, run.plan.config);
    let fault = config.fault.map_or(String::new(), |fault| format!(", with the fault {fault}"));
    let (cycles, chunk) = (config.cycles, config.chunk_mib);
    let load = format!("CMA area of {} MiB, {} jobs", run.cma_mib(), config.jobs);
    let work = match spec.cycle {
        Cycle::Chunk => format!("{load}, {cycles} times {chunk} MiB"),
        Cycle::Blocks => format!("{load}, {cycles} rounds of half of memory in blocks of {chunk} MiB"),
        Cycle::Operations => format!("{} operations at random", count(i64::from(cycles) * 1000)),
    };
    let (scenario, seed) = (spec.scenario, config.seed);
    let up_to = if spec.cpus == Cpus::EachUpTo && machine.cpus > 1 { "1 to " } else { "" };
    format!("{scenario}: {up_to}{machine}, {work}, seed {seed}{fault}")
}

fn conclusion(run: &Run<'_>) -> String {
    match run.outcome.transcript.stat(stat::MISSED_PAGES) {
        Some(missed) => format!("missed pages: {}; {}", count(missed), run.judgement),
        None => run.judgement.to_string(),
    }
}

fn measurements(transcript: &Transcript, cycle: Cycle) -> Table {
    let mut table = new_table();
    let mut add = |label: &str, value: String| {
        let value = Cell::new(value).set_alignment(CellAlignment::Right);
        table.add_row([Cell::new(label), value]);
    };
    for (key, label) in LINES {
        if let Some(value) = transcript.stat(key) {
            add(label, count(value));
        }
    }
    if let Some(value) = latency(transcript) {
        add(
            match cycle {
                Cycle::Chunk | Cycle::Operations => "contiguous allocation, ms",
                Cycle::Blocks => "taking a block offline, ms",
            },
            value,
        );
    }
    if let Some(value) = transcript.stat(stat::WALL_MS) {
        add("time in the guest, s", thousandths(value));
    }
    for (key, value) in &transcript.stats {
        if !is_shown(key) {
            add(&key.replace(['_', '.'], " "), count(*value));
        }
    }
    table
}

fn is_shown(key: &str) -> bool {
    let mut shown = LINES.iter().chain(&LATENCY);
    key == stat::WALL_MS || shown.any(|(known, _)| *known == key)
}

fn latency(transcript: &Transcript) -> Option<String> {
    let parts: Option<Vec<String>> = LATENCY
        .iter()
        .map(|(key, label)| Some(format!("{label} {}", thousandths(transcript.stat(key)?))))
        .collect();
    Some(parts?.join(" "))
}

/// Rows in groups, each for a table of its own. A row that has no column in common with the row
/// before it begins a new group.
fn parts_of(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|one, next| {
        one.cells.iter().any(|(key, _)| next.cells.iter().any(|(other, _)| key == other))
    })
}

/// A table of the scenario's own, with a column for each key, in the order of appearance.
fn rows(row_name: &str, rows: &[Row]) -> Table {
    let mut columns: Vec<&str> = Vec::new();
    for (key, _) in rows.iter().flat_map(|row| &row.cells) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    let mut table = new_table();
    // A line for each word of a header, so that most tables fit into a terminal of 80 columns.
    let header = columns.iter().map(|key| key.replace('_', "\n"));
    table.set_header(std::iter::once(row_name.to_owned()).chain(header));
    for row in rows {
        let cells = columns.iter().map(|column| {
            let cell = row.cells.iter().find(|(key, _)| key == column);
            let text = cell.map_or(String::new(), |(_, cell)| match cell {
                transcript::Cell::Integer(value) => count(*value),
                // A word of the protocol has no spaces.
                transcript::Cell::Word(word) => word.replace('_', " "),
                number @ transcript::Cell::Decimal(_) => decimal(&number.to_string()),
            });
            Cell::new(text).set_alignment(CellAlignment::Right)
        });
        table.add_row(std::iter::once(Cell::new(&row.name)).chain(cells));
    }
    table
}

/// An empty table in the style of all tables.
pub(crate) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run::tests::{GOOD, with_run};

    #[test]
    fn the_table_has_every_measurement_once() {
        with_run("", GOOD, |run| {
            let text = results(&run);
            for part in [
                "cma: 4 CPUs, 1024 MiB, CMA area of 256 MiB, 16 jobs, 30 times 8 MiB, seed 1\n",
                "1,234,567",
                "min 1.100 p50 5.000 p99 9.900 max 12.345",
                "9.876",
                "odd extra thing",
                "-1,234",
                "note: the TSC runs at 2 GHz",
                "\nmissed pages: 0; every invariant held",
            ] {
                assert_eq!(text.matches(part).count(), 1, "{part} in\n{text}");
            }
        });
    }

    #[test]
    fn what_did_not_hold_comes_last() {
        let lines = GOOD.to_owned() + "@pb stat missed_pages 5120\n@pb broken DMA32: free +5120";
        with_run("--fault merge-across", &lines, |run| {
            let text = results(&run);
            assert!(text.contains(", with the fault merge-across\n"), "{text}");
            let end = "missed pages: 5,120; an invariant did not hold\n  DMA32: free +5120";
            assert!(text.ends_with(end), "{text}");
        });
    }

    #[test]
    fn the_scenarios_own_table_has_a_column_for_each_key() {
        let lines =
            GOOD.to_owned() + "@pb row a\n@pb cell x_y 1\n@pb row b\n@pb cell z 1.500\n@pb cell x_y 2";
        with_run("", &lines, |run| {
            let table = rows("fault", &run.outcome.transcript.rows).to_string();
            let lines: Vec<String> = table.lines().map(|line| line.replace(['│', '┆', ' '], "")).collect();
            assert!(lines.contains(&"faultxz".to_owned()), "{table}");
            assert!(lines.contains(&"y".to_owned()), "{table}");
            assert!(lines.contains(&"a1".to_owned()), "{table}");
            assert!(lines.contains(&"b21.500".to_owned()), "{table}");
        });
    }

    #[test]
    fn rows_with_other_columns_have_a_table_of_their_own() {
        let mut transcript = Transcript::default();
        for line in [
            "row a", "cell x 1", "row b", "cell y 2", "cell x 2", "row c", "cell y 3", "row d", "cell z 4",
            "row e", "cell z 5",
        ] {
            transcript.receive(&format!("@pb {line}"));
        }
        let parts: Vec<Vec<&str>> = parts_of(&transcript.rows)
            .map(|part| part.iter().map(|row| row.name.as_str()).collect())
            .collect();
        assert_eq!(parts, [vec!["a", "b", "c"], vec!["d", "e"]]);
        assert_eq!(parts_of(&[]).count(), 0);
    }

    #[test]
    fn the_title_says_what_was_done() {
        for (line, title) in [
            ("bench --cycles 3", "bench: 1 to 8 CPUs, 1024 MiB, 3,000 operations at random, seed 1\n"),
            (
                "hotplug --cpus 1",
                "hotplug: 1 CPU, 1024 MiB, CMA area of 256 MiB, 16 jobs, \
                 20 rounds of half of memory in blocks of 128 MiB, seed 1\n",
            ),
        ] {
            with_run(line, "", |run| {
                let text = results(&run);
                assert!(text.starts_with(title), "{text}");
            });
        }
    }

    #[test]
    fn the_title_has_the_size_that_the_area_really_has() {
        let lines = GOOD.replace("cma_area_mib 256", "cma_area_mib 2");
        with_run("--cma 1 --chunk 1", &lines, |run| {
            let text = results(&run);
            assert!(text.contains("CMA area of 2 MiB, "), "{text}");
            assert!(!text.contains("cma area"), "{text}");
        });
    }
}
