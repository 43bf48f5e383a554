//! The table that a run ends with.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement};
use pageblock_protocol::stat;

use crate::guest::residency::{Purpose, resident_over_used};
use crate::guest::transcript::{self, Row, Transcript};
use crate::report::grid::{Grid, NO_BREAK, new_table};
use crate::report::numbers::{count, decimal, thousandths};
use crate::report::run::Run;
use crate::report::width::wrap;
use crate::report::{events, plot};
use crate::scenario::spec::{Cpus, Cycle};

/// The measurements with a line of their own, the most important first.
const LINES: [(&str, &str); 30] = [
    (stat::MISSED_PAGES, "missed pages"),
    (stat::MAX_ABS_DRIFT_PAGES, "largest drift seen, pages"),
    (stat::OPERATIONS, "operations"),
    (stat::AUDITS, "exact audits"),
    (stat::VERIFICATIONS, "verifications of all records"),
    (stat::EVENTS, "events on slow paths"),
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
    (stat::RESIZES, "sizes that the host requested"),
    (stat::SIZES_COMPARED, "sizes compared with QEMU's"),
    (stat::PLUGGED_MAX_MIB, "most that was plugged, MiB"),
    (stat::RESIDENT_MIB_BEFORE, "QEMU's memory before, MiB"),
    (stat::RESIDENT_MIB_PEAK, "QEMU's memory at most, MiB"),
    (stat::RESIDENT_MIB_AFTER_UNPLUG, "QEMU's memory in the end, MiB"),
    (stat::RETURNED_MIB, "most reported in one round, MiB"),
    (stat::RETURN_MS, "time of that round, ms"),
    (stat::REPORTED_PAGES, "pages reported"),
    (stat::RECALLED_PAGES, "pages taken back before their report"),
    (stat::PAGES_USED_DURING_REPORTS, "pages written during reports"),
    (stat::RANGES_WAITED_FOR, "ranges that waited for the host"),
    (stat::TLB_SHOOTDOWNS, "TLB shootdowns"),
    (stat::SAMPLES_CPU_MS, "CPU time for pictures, ms"),
];

/// The measurements that share one line.
const LATENCY: [(&str, &str); 4] = [
    (stat::LATENCY_US_MIN, "min"),
    (stat::LATENCY_US_P50, "p50"),
    (stat::LATENCY_US_P99, "p99"),
    (stat::LATENCY_US_MAX, "max"),
];

/// The report of a run, as text of that width.
pub(crate) fn results(run: &Run<'_>, width: usize) -> String {
    let transcript = &run.outcome.transcript;
    let mut parts = vec![wrap(&title(run), width)];
    parts.extend(measurements(transcript, run.plan.spec.cycle, width));
    if !transcript.rows.is_empty() {
        let name = run.plan.spec.row_name.replace('_', " ");
        let name = |part: &[Row]| if part.iter().all(Row::is_refusal) { "pfn" } else { &name };
        parts.extend(parts_of(&transcript.rows).map(|part| grid(name(part), part).render(width)));
    }
    parts.extend(ratios(transcript, width));
    parts.extend(plot::plots(&transcript.residency, width));
    parts.extend(transcript.notes.iter().map(|note| wrap(&format!("note: {note}"), width)));
    // A run with a trace has events although nothing went wrong.
    if !run.plan.config.trace || !transcript.broken.is_empty() {
        parts.extend(last_events(transcript, width));
    }
    parts.push(wrap(&conclusion(run), width));
    parts.join("\n")
}

/// The resident memory of QEMU over the memory that the guest used.
fn ratios(transcript: &Transcript, width: usize) -> Option<String> {
    let ratio = |purpose| resident_over_used(&transcript.residency, purpose);
    let with = ratio(Purpose::With)?;
    let without =
        ratio(Purpose::Without).map_or_else(String::new, |without| format!(", {without:.2} without"));
    let text =
        format!("resident memory over memory in use, averages over time: {with:.2} with reports{without}");
    Some(wrap(&text, width))
}

/// What the allocator did before something went wrong; `None` if the guest did not say.
fn last_events(transcript: &Transcript, width: usize) -> Option<String> {
    let lines = events::lines(&transcript.events);
    (!lines.is_empty()).then(|| {
        let lines = lines.iter().map(|line| wrap(line, width)).collect::<Vec<_>>();
        format!("the allocator's last events:\n{}", lines.join("\n"))
    })
}

/// What was done, in one line.
pub(crate) fn title(run: &Run<'_>) -> String {
    let (spec, machine, config) = (run.plan.spec, run.plan.machine, run.plan.config);
    let fault = config.fault.map_or(String::new(), |fault| format!(", with the fault {fault}"));
    let (cycles, chunk) = (config.cycles, config.chunk_mib);
    let load = format!("CMA area of {} MiB, {} jobs", run.cma_mib(), config.jobs);
    let work = match spec.cycle {
        Cycle::Chunk => format!("{load}, {cycles} times {chunk} MiB"),
        Cycle::Blocks => format!("{load}, {cycles} rounds of half of memory in blocks of {chunk} MiB"),
        Cycle::Rounds if config.minutes > 0 => format!("{load}, {} minutes", config.minutes),
        Cycle::Rounds => format!("{load}, {} operations", count(config.operations.cast_signed())),
        Cycle::Requests => {
            let requests = count(i64::from(cycles) * 1000);
            format!("{load}, {requests} requests with buffers of up to {chunk} MiB")
        }
        Cycle::Resizes => format!("{load}, {cycles} sizes of up to {chunk} MiB"),
        Cycle::Waves => {
            format!("{cycles} times up to {chunk} MiB and back, {} ms to a report", config.interval_ms)
        }
        Cycle::Operations => format!("{} operations at random", count(i64::from(cycles) * 1000)),
    };
    let (scenario, seed) = (spec.scenario, config.seed);
    let up_to = if spec.cpus == Cpus::EachUpTo && machine.cpus > 1 { "1 to " } else { "" };
    format!("{scenario}: {up_to}{machine}, {work}, seed {seed}{fault}")
}

/// The verdict. What did not hold follows it, and which targets were missed is the last line.
pub(crate) fn conclusion(run: &Run<'_>) -> String {
    let transcript = &run.outcome.transcript;
    let mut text = match transcript.stat(stat::MISSED_PAGES) {
        Some(missed) => format!("missed pages: {}; {}", count(missed), run.judgement),
        None => run.judgement.to_string(),
    };
    let with_target = transcript.rows.iter().filter(|row| row.misses_target().is_some()).count();
    let missed = run.missed_targets();
    if with_target > 0 {
        text += if run.judgement.reasons.len() > 1 { "\n" } else { "; " };
        text += &match missed.len() {
            0 => format!("all {with_target} targets are met"),
            number => format!("{number} of {with_target} targets missed: {}", missed.join(", ")),
        };
    }
    text
}

fn measurements(transcript: &Transcript, cycle: Cycle, width: usize) -> Option<String> {
    let mut table = new_table();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
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
                Cycle::Chunk | Cycle::Requests | Cycle::Operations | Cycle::Rounds => {
                    "contiguous allocation, ms"
                }
                Cycle::Blocks => "taking a block offline, ms",
                Cycle::Waves => "reports, ms",
                Cycle::Resizes => "unplugging a block, ms",
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
    // The labels are not wrapped, and no number is separated from its name.
    if let Some(labels) = table.column_mut(0) {
        labels.set_constraint(ColumnConstraint::ContentWidth);
    }
    (!table.is_empty()).then(|| table.to_string().replace(NO_BREAK, " "))
}

fn is_shown(key: &str) -> bool {
    let mut shown = LINES.iter().chain(&LATENCY);
    key == stat::WALL_MS || shown.any(|(known, _)| *known == key)
}

fn latency(transcript: &Transcript) -> Option<String> {
    // There is no p99 of few samples.
    let parts: Vec<String> = LATENCY
        .iter()
        .filter_map(|(key, label)| Some(format!("{label}{NO_BREAK}{}", thousandths(transcript.stat(key)?))))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Rows in groups, each for a table of its own. A row that has no column in common with the row
/// before it begins a new group.
fn parts_of(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|one, next| {
        one.cells.iter().any(|(key, _)| next.cells.iter().any(|(other, _)| key == other))
    })
}

/// A table of the scenario's own, with a column for each key, in the order of appearance.
fn grid(row_name: &str, rows: &[Row]) -> Grid {
    let mut columns: Vec<&str> = Vec::new();
    for (key, _) in rows.iter().flat_map(|row| &row.cells) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    let fields = |row: &Row| columns.iter().map(|column| field(row, column)).collect();
    Grid {
        name: row_name.to_owned(),
        headers: columns.iter().map(|key| key.replace('_', " ")).collect(),
        rows: rows.iter().map(|row| (row.name.clone(), fields(row))).collect(),
    }
}

/// A field of a row as text; empty if the row does not have it.
fn field(row: &Row, column: &str) -> String {
    let text = row.cell(column).map_or(String::new(), |cell| match cell {
        transcript::Cell::Integer(value) => count(*value),
        // A word of the protocol has no spaces.
        transcript::Cell::Word(word) => word.replace('_', " "),
        number @ transcript::Cell::Decimal(_) => decimal(&number.to_string()),
    });
    match column == stat::TARGET && row.misses_target() == Some(true) {
        true => format!("{text} missed"),
        false => text,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::grid::width_of;
    use crate::report::run::tests::{GOOD, with_run};

    #[test]
    fn the_table_has_every_measurement_once() {
        with_run("", GOOD, |run| {
            let text = results(&run, 160);
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

    /// What guests sent, with the command lines of their runs.
    pub(crate) const SAMPLES: [(&str, &str); 9] = [
        ("cma --cycles 2 --jobs 2", include_str!("samples/cma.txt")),
        ("faults --cycles 4 --memory 256 --cma 64 --jobs 4 --chunk 4", include_str!("samples/faults.txt")),
        ("designs --cycles 8 --memory 256 --cma 64 --jobs 4", include_str!("samples/designs.txt")),
        ("hotplug --cycles 2 --chunk 32 --memory 512 --cma 64 --jobs 4", include_str!("samples/hotplug.txt")),
        ("dma --cycles 2 --memory 256 --cma 64 --jobs 4", include_str!("samples/dma.txt")),
        ("bench --cpus 2 --cycles 20", include_str!("samples/bench.txt")),
        ("plug --cycles 6", include_str!("samples/plug.txt")),
        ("soak --operations 1000000 --memory 256 --cma 64", include_str!("samples/soak.txt")),
        ("balloon --cycles 2", include_str!("samples/balloon.txt")),
    ];

    /// Set `PAGEBLOCK_SHOW_TABLES` and add `--nocapture` to read them.
    #[test]
    fn few_durations_have_no_99th_percentile() {
        with_run("", &GOOD.replace("@pb stat latency_us.p99 9900\n", ""), |run| {
            let text = results(&run, 160);
            assert!(text.contains("min 1.100 p50 5.000 max 12.345") && !text.contains("p99"), "{text}");
        });
    }

    #[test]
    fn no_table_and_no_note_is_wider_than_the_terminal() {
        for (command, sample) in SAMPLES {
            for width in [60, 80, 100, 160] {
                with_run(command, sample, |run| {
                    let text = results(&run, width);
                    if std::env::var_os("PAGEBLOCK_SHOW_TABLES").is_some() {
                        println!("{width} columns:\n{text}");
                    }
                    assert!(width_of(&text) <= width, "{width} columns:\n{text}");
                    let rows = &run.outcome.transcript.rows;
                    assert!(rows.iter().all(|row| text.contains(&row.name)), "{text}");
                    let is_shown = |value: &i64| text.contains(&count(*value));
                    let keys = run.plan.spec.required.iter().filter(|key| !key.starts_with("latency"));
                    let mut values =
                        keys.filter(|key| **key != stat::WALL_MS).map(|key| run.outcome.transcript.stat(key));
                    assert!(values.all(|value| value.is_some_and(|value| is_shown(&value))), "{text}");
                });
            }
        }
    }

    #[test]
    fn a_missed_target_is_marked_and_the_last_line_says_so() {
        let (command, sample) = SAMPLES[5];
        with_run(command, sample, |run| {
            let text = results(&run, 160);
            assert!(text.contains("┆ 250 missed ┆"), "{text}");
            let end = "\nevery invariant held; 1 of 10 targets missed: burst-of-65536-shuffled";
            assert!(text.ends_with(end), "{text}");
        });
        let met = sample.replace("cell target 250", "cell target 500");
        with_run(command, &met, |run| {
            let text = results(&run, 160);
            assert!(!text.contains(" missed"), "{text}");
            assert!(text.ends_with("\nevery invariant held; all 10 targets are met"), "{text}");
        });
    }

    #[test]
    fn what_did_not_hold_comes_last() {
        let lines = GOOD.to_owned() + "@pb stat missed_pages 5120\n@pb broken DMA32: free +5120";
        with_run("--fault merge-across", &lines, |run| {
            let text = results(&run, 160);
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
            let table = grid("fault", &run.outcome.transcript.rows).render(80);
            let lines: Vec<String> = table.lines().map(|line| line.replace(['│', '┆', ' '], "")).collect();
            assert!(lines.contains(&"faultxz".to_owned()), "{table}");
            assert!(lines.contains(&"y".to_owned()), "{table}");
            assert!(lines.contains(&"a1".to_owned()), "{table}");
            assert!(lines.contains(&"b21.500".to_owned()), "{table}");
        });
    }

    #[test]
    fn the_last_events_are_shown_in_the_order_of_time() {
        let lines = GOOD.to_owned()
            + "@pb broken DMA32: free +5120\n@pb event 0 3000007 second\n@pb event 1 2000000 first\n";
        with_run("soak --minutes 3", &lines, |run| {
            let text = results(&run, 160);
            assert!(
                text.starts_with("soak: 4 CPUs, 1024 MiB, CMA area of 256 MiB, 4 jobs, 3 minutes, seed 1\n")
            );
            let events = "the allocator's last events:\n2.000000 cpu 1 first\n3.000007 cpu 0 second\n";
            assert!(text.contains(events), "{text}");
            let object = crate::report::json::object(&run, "");
            assert_eq!(object["last_events"][1]["event"], "second");
            assert_eq!(object["last_events"][1]["cpu"], 0);
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
                let text = results(&run, 160);
                assert!(text.starts_with(title), "{text}");
            });
        }
    }

    #[test]
    fn the_title_has_the_size_that_the_area_really_has() {
        let lines = GOOD.replace("cma_area_mib 256", "cma_area_mib 2");
        with_run("--cma 1 --chunk 1", &lines, |run| {
            let text = results(&run, 160);
            assert!(text.contains("CMA area of 2 MiB, "), "{text}");
            assert!(!text.contains("cma area"), "{text}");
        });
    }
}
