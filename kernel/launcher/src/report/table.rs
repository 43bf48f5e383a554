//! The table at the end of a run.

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::HumanCount;
use pageblock_protocol::stat;

use super::Run;
use crate::scenarios::{Cpus, Cycle, STORIES, State};
use crate::transcript::{self, Row, Transcript};

/// Measurements with a line of their own, in the order of the table. What comes
/// first matters most.
const LINES: [(&str, &str); 15] = [
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
    (stat::INTERRUPT_ALLOCATIONS, "allocations and frees in interrupts"),
    (stat::JOBS_FINISHED, "jobs finished"),
    (stat::CMA_PAGES_USED_PEAK, "CMA pages in use, at most"),
    (stat::TLB_SHOOTDOWNS, "TLB shootdowns"),
    (stat::BOOT_MS, "booted in, ms"),
];

/// Measurements that share one line.
const LATENCY: [(&str, &str); 4] = [
    (stat::LATENCY_US_MIN, "min"),
    (stat::LATENCY_US_P50, "p50"),
    (stat::LATENCY_US_P99, "p99"),
    (stat::LATENCY_US_MAX, "max"),
];

/// Everything a run showed, as text.
pub fn results(run: &Run<'_>) -> String {
    let transcript = &run.outcome.transcript;
    let mut parts = vec![title(run), measurements(transcript, run.story.cycle).to_string()];
    if !transcript.rows.is_empty() {
        let name = run.story.row_name.replace('_', " ");
        parts.extend(alike(&transcript.rows).map(|part| rows(&name, part).to_string()));
    }
    parts.extend(transcript.notes.iter().map(|note| format!("note: {note}")));
    parts.push(conclusion(run));
    parts.join("\n")
}

/// What `list` prints.
pub fn scenarios() -> String {
    let mut table = new_table();
    table.set_header(["scenario", "what it shows"]);
    for story in &STORIES {
        let state = match story.state {
            State::Ready => "",
            State::Planned => " (not in this version)",
        };
        let about = format!("{}{state}", story.about);
        table.add_row([story.scenario.name(), &about]);
    }
    table.add_row(["list", "this table"]);
    table.to_string()
}

fn title(run: &Run<'_>) -> String {
    let arguments = run.arguments;
    let fault = match &arguments.fault {
        Some(fault) => format!(", with the fault {fault}"),
        None => String::new(),
    };
    let (cycles, chunk) = (arguments.cycles(), arguments.chunk());
    let beside = format!("CMA area of {} MiB, {} jobs", arguments.cma(), arguments.jobs);
    let work = match run.story.cycle {
        Cycle::Chunk => format!("{beside}, {cycles} times {chunk} MiB"),
        Cycle::Blocks => format!("{beside}, {cycles} rounds of half of memory in blocks of {chunk} MiB"),
        Cycle::Operations => format!("{} operations at random", count(i64::from(cycles) * 1000)),
    };
    let (scenario, machine, seed) = (run.story.scenario, arguments.machine(), arguments.seed);
    let up_to = if run.story.cpus == Cpus::EachUpTo && machine.cpus > 1 { "1 to " } else { "" };
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
    Some(parts?.join("  "))
}

/// Rows in parts, each for a table of its own: a row that has no column in common with the one before begins the next.
fn alike(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|one, next| {
        one.cells.iter().any(|(key, _)| next.cells.iter().any(|(other, _)| key == other))
    })
}

/// One table of the scenario's own: a column for each key, in the order of appearance.
fn rows(row_name: &str, rows: &[Row]) -> Table {
    let mut columns: Vec<&str> = Vec::new();
    for (key, _) in rows.iter().flat_map(|row| &row.cells) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    let mut table = new_table();
    let header = columns.iter().map(|key| key.replace('_', " "));
    table.set_header(std::iter::once(row_name.to_owned()).chain(header));
    for row in rows {
        let cells = columns.iter().map(|column| {
            let cell = row.cells.iter().find(|(key, _)| key == column);
            let text = cell.map_or(String::new(), |(_, cell)| match cell {
                transcript::Cell::Integer(value) => count(*value),
                // A word has no spaces on its way here.
                transcript::Cell::Word(word) => word.replace('_', " "),
                decimal @ transcript::Cell::Decimal(_) => grouped(&decimal.to_string()),
            });
            Cell::new(text).set_alignment(CellAlignment::Right)
        });
        table.add_row(std::iter::once(Cell::new(&row.name)).chain(cells));
    }
    table
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table
}

/// A number with its digits in groups.
fn count(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", HumanCount(value.unsigned_abs()))
}

/// A decimal number with the digits before its point in groups.
fn grouped(decimal: &str) -> String {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    whole.parse().map_or_else(|_| decimal.to_owned(), |whole| format!("{}.{fraction}", count(whole)))
}

fn thousandths(value: i64) -> String {
    pageblock_protocol::Value::Thousandths(value).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use pageblock_protocol::Verdict;

    use super::*;
    use crate::arguments::Arguments;
    use crate::boot::Outcome;
    use crate::ending::Ending;
    use crate::judgement::Judgement;
    use crate::scenarios::Story;

    const GOOD: &str = "\
@pb hello 1 4 1024
@pb stat succeeded 30
@pb stat failed 0
@pb stat missed_pages 0
@pb stat max_abs_drift_pages 0
@pb stat audits 1234
@pb stat pages_migrated 61234
@pb stat contents_checked 234567
@pb stat contents_corrupted 0
@pb stat allocations 1234567
@pb stat latency_us.min 1100
@pb stat latency_us.p50 5000
@pb stat latency_us.p99 9900
@pb stat latency_us.max 12345
@pb stat wall_ms 9876
@pb stat odd_extra.thing -1234
@pb note the TSC runs at 2 GHz
@pb done held
";

    /// Lets the test look at a good run with those arguments.
    pub(in crate::report) fn with_run(arguments: &str, look: impl FnOnce(Run<'_>)) {
        with_transcript(arguments, GOOD, look);
    }

    fn with_transcript(arguments: &str, lines: &str, look: impl FnOnce(Run<'_>)) {
        let words = std::iter::once("pageblock").chain(arguments.split_whitespace());
        let arguments = Arguments::try_from_words(words).unwrap();
        let story = Story::from_name("cma").unwrap();
        let mut transcript = Transcript::default();
        for line in lines.lines() {
            transcript.hear(line);
        }
        let outcome = Outcome {
            transcript,
            ending: Ending::Done(Verdict::Held),
            qemu_messages: Vec::new(),
            command: String::new(),
            took: Duration::from_secs(10),
        };
        let judgement = Judgement::of(story, arguments.machine(), &outcome);
        look(Run { story, arguments: &arguments, outcome: &outcome, judgement: &judgement });
    }

    #[test]
    fn the_table_has_every_measurement_once() {
        with_run("", |run| {
            let text = results(&run);
            for part in [
                "cma: 4 CPUs, 1024 MiB, CMA area of 256 MiB, 16 jobs, 30 times 8 MiB, seed 1\n",
                "1,234,567",
                "min 1.100  p50 5.000  p99 9.900  max 12.345",
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
    fn what_did_not_hold_is_the_last_word() {
        let lines = GOOD.to_owned() + "@pb stat missed_pages 5120\n@pb broken DMA32: free +5120";
        with_transcript("--fault merge-across", &lines, |run| {
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
        with_transcript("", &lines, |run| {
            let table = rows("fault", &run.outcome.transcript.rows).to_string();
            let lines: Vec<String> = table.lines().map(|line| line.replace(['│', '┆', ' '], "")).collect();
            assert!(lines.contains(&"faultxyz".to_owned()), "{table}");
            assert!(lines.contains(&"a1".to_owned()), "{table}");
            assert!(lines.contains(&"b21.500".to_owned()), "{table}");
        });
    }

    #[test]
    fn rows_about_something_else_have_a_table_of_their_own() {
        let mut transcript = Transcript::default();
        for line in [
            "row a", "cell x 1", "row b", "cell y 2", "cell x 2", "row c", "cell y 3", "row d", "cell z 4",
            "row e", "cell z 5",
        ] {
            transcript.hear(&format!("@pb {line}"));
        }
        let parts: Vec<Vec<&str>> =
            alike(&transcript.rows).map(|part| part.iter().map(|row| row.name.as_str()).collect()).collect();
        assert_eq!(parts, [vec!["a", "b", "c"], vec!["d", "e"]]);
        assert_eq!(alike(&[]).count(), 0);
    }

    #[test]
    fn decimals_have_groups_too() {
        for (decimal, shown) in [("6465863.250", "6,465,863.250"), ("0.754", "0.754"), ("-1.500", "-1.500")] {
            assert_eq!(grouped(decimal), shown);
        }
    }

    #[test]
    fn a_benchmark_is_of_operations() {
        let arguments = Arguments::try_from_words(["pageblock", "bench", "--cycles", "3"]).unwrap();
        let story = Story::from_name("bench").unwrap();
        let outcome = Outcome {
            transcript: Transcript::default(),
            ending: Ending::Done(Verdict::Held),
            qemu_messages: Vec::new(),
            command: String::new(),
            took: Duration::from_secs(1),
        };
        let judgement = Judgement::of(story, arguments.machine(), &outcome);
        let run = Run { story, arguments: &arguments, outcome: &outcome, judgement: &judgement };
        assert_eq!(title(&run), "bench: 1 to 8 CPUs, 1024 MiB, 3,000 operations at random, seed 1");
    }

    #[test]
    fn the_list_names_every_scenario() {
        let text = scenarios();
        for story in &STORIES {
            assert!(text.contains(story.scenario.name()), "{text}");
        }
    }
}
