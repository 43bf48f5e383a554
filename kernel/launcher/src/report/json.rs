//! The results of a run as one JSON object, for scripts.
//!
//! It has the verdict and its reasons, the version, the machine, the size of the guest, every
//! measurement of the table, the rows of the scenario's own table, the notes, the options of the
//! run, and a command that repeats it. A dot in the name of a measurement makes a nested object.

use pageblock_protocol::stat;
use serde_json::{Map, Value, json};

use crate::command_line::options::{command, options};
use crate::guest::residency::{Point, Purpose, idle_kib, points, resident_over_used};
use crate::guest::transcript::{Cell, Event, Row};
use crate::host::description::Description;
use crate::report::run::Run;
use crate::scenario::spec::{Cycle, Setting};

/// The results of a run on QEMU of that version.
pub(crate) fn object(run: &Run<'_>, qemu: &str) -> Value {
    let (spec, config, transcript) = (run.plan.spec, run.plan.config, &run.outcome.transcript);
    let options = options(run.plan, run.accel);
    let mut object = Map::new();
    let mut add = |key: &str, value: Value| insert(&mut object, key, value);
    add("scenario", json!(spec.scenario.name()));
    add("verdict", json!(run.judgement.status.word()));
    add("reasons", json!(run.judgement.reasons));
    add("version", json!(env!("CARGO_PKG_VERSION")));
    add("machine", machine(run, qemu));
    add("cpus", json!(run.plan.machine.cpus));
    add("memory_mib", json!(run.plan.machine.memory_mib));
    add("managed_mib", json!(transcript.hello.map(|hello| hello.memory_mib)));
    add("cma_mib", json!(run.cma_mib()));
    if spec.takes(Setting::Jobs) {
        add("jobs", json!(config.jobs));
    }
    if spec.takes(Setting::Cycles) {
        add("cycles", json!(config.cycles));
    }
    if spec.cycle == Cycle::Blocks {
        add("block_mib", json!(config.chunk_mib));
    }
    for key in spec.required {
        add(key, json!(transcript.stat(key)));
    }
    for (key, value) in &transcript.stats {
        if !spec.required.contains(&key.as_str()) {
            add(key, json!(value));
        }
    }
    if !spec.row_name.is_empty() {
        let rows = transcript.rows.iter().filter(|row| !row.is_refusal());
        add(spec.rows_key, rows.map(|row| row_object(spec.row_name, row)).collect());
        add("missed_targets", json!(run.missed_targets()));
    }
    if spec.refusals {
        let rows = transcript.rows.iter().filter(|row| row.is_refusal());
        add("refusals", rows.map(|row| row_object("pfn", row)).collect());
    }
    if spec.cycle == Cycle::Waves {
        let all = &transcript.residency;
        let ratio = |purpose| resident_over_used(all, purpose).map(|ratio| (ratio * 1000.0).round() / 1000.0);
        add("resident_over_used", json!(ratio(Purpose::With)));
        add("resident_over_used_without", json!(ratio(Purpose::Without)));
        add("idle_mib", json!(idle_kib(all).map(|kib| kib >> 10)));
        add("series", series(points(all, Purpose::With)));
        add("series_without", series(points(all, Purpose::Without)));
    }
    add("notes", json!(transcript.notes));
    if !transcript.events.is_empty() && !config.trace {
        let events = transcript.events.iter();
        let event = |event: &Event| json!({"cpu": event.cpu, "at_us": event.at_us, "event": event.text});
        add("last_events", events.map(event).collect());
    }
    if let Some(fault) = config.fault {
        add("fault", json!(fault));
    }
    add("seed", json!(config.seed));
    add("command", json!(command(run.plan, &options)));
    let options = options.into_iter().map(|(name, value)| (name.replace('-', "_"), value));
    add("options", options.collect::<Map<_, _>>().into());
    Value::Object(object)
}

fn series(points: &[Point]) -> Value {
    let point = |point: &Point| json!({"ms": point.ms, "used_mib": point.used_kib >> 10, "resident_mib": point.resident_kib >> 10});
    points.iter().map(point).collect()
}

/// What the guest ran on.
fn machine(run: &Run<'_>, qemu: &str) -> Value {
    let host = Description::of_this_machine();
    json!({
        "qemu": qemu,
        "accel": run.accel.qemu_value(),
        "guest_cpu": run.accel.cpu_model(),
        "host": host.system,
        "host_cpu": host.cpu,
        "host_cpus": host.cpus,
    })
}

/// Adds a value, in an object of its own if the key has a dot.
fn insert(object: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            object.insert(key.to_owned(), value);
        }
        Some((outer, inner)) => {
            let nested = object.entry(outer).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(nested) = nested {
                insert(nested, inner, value);
            }
        }
    }
}

fn row_object(row_name: &str, row: &Row) -> Value {
    let number = row.name.parse::<i64>();
    let name = (row_name.to_owned(), number.map_or_else(|_| json!(row.name), |number| json!(number)));
    let cells = row.cells.iter().map(|(key, cell)| {
        let value = match cell {
            Cell::Integer(value) => json!(value),
            Cell::Decimal(value) => json!(value),
            Cell::Word(word) => match word.as_str() {
                "true" => json!(true),
                "false" => json!(false),
                // A word of the protocol has no spaces.
                words if key == stat::REASON => json!(words.replace('_', " ")),
                word => json!(word),
            },
        };
        (key.clone(), value)
    });
    Value::Object(std::iter::once(name).chain(cells).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run::tests::{GOOD, with_run};

    #[test]
    fn the_default_scenario_has_these_fields() {
        with_run("--seed 7", GOOD, |run| {
            let object = object(&run, "QEMU 0.0");
            let keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(
                keys,
                [
                    "scenario",
                    "verdict",
                    "reasons",
                    "version",
                    "machine",
                    "cpus",
                    "memory_mib",
                    "managed_mib",
                    "cma_mib",
                    "jobs",
                    "cycles",
                    "succeeded",
                    "failed",
                    "missed_pages",
                    "max_abs_drift_pages",
                    "audits",
                    "pages_migrated",
                    "contents_checked",
                    "contents_corrupted",
                    "allocations",
                    "latency_us",
                    "wall_ms",
                    "odd_extra",
                    "notes",
                    "seed",
                    "command",
                    "options",
                ]
            );
            assert_eq!(object["scenario"], "cma");
            assert_eq!(
                (&object["verdict"], &object["reasons"][0]),
                (&json!("held"), &json!("every invariant held"))
            );
            assert_eq!(object["version"], env!("CARGO_PKG_VERSION"));
            assert_eq!(object["machine"]["qemu"], "QEMU 0.0");
            assert_eq!(object["machine"]["accel"], "tcg,thread=multi");
            assert_eq!(object["odd_extra"]["thing"], -1234);
            assert_eq!(object["notes"], json!(["the TSC runs at 2 GHz"]));
            assert_eq!(object["cpus"], 4);
            assert_eq!((&object["memory_mib"], &object["managed_mib"]), (&json!(1024), &json!(1000)));
            assert_eq!(object["missed_pages"], 0);
            assert_eq!(object["seed"], 7);
            let latency = object["latency_us"].as_object().unwrap();
            let keys: Vec<&str> = latency.keys().map(String::as_str).collect();
            assert_eq!(keys, ["min", "p50", "max", "p99"]);
            assert_eq!(latency["p99"], 9900);
        });
    }

    #[test]
    fn what_did_not_hold_and_which_targets_were_missed_are_named() {
        let lines = GOOD.to_owned() + "@pb broken DMA32: free +5120";
        with_run("", &lines, |run| {
            let object = object(&run, "");
            assert_eq!(object["verdict"], "broken");
            assert_eq!(object["reasons"], json!(["an invariant did not hold", "DMA32: free +5120"]));
        });
        let (command, sample) = crate::report::table::tests::SAMPLES[5];
        with_run(command, sample, |run| {
            assert_eq!(object(&run, "")["missed_targets"], json!(["burst-of-65536-shuffled"]));
        });
    }

    #[test]
    fn every_number_of_the_table_is_there() {
        for (command, sample) in crate::report::table::tests::SAMPLES {
            with_run(command, sample, |run| {
                let object = object(&run, "");
                for (key, value) in &run.outcome.transcript.stats {
                    let pointer = format!("/{}", key.replace('.', "/"));
                    assert_eq!(object.pointer(&pointer), Some(&json!(value)), "{command}: {key}");
                }
                let rows = [run.plan.spec.rows_key, "refusals"];
                let rows = rows.map(|key| object[key].as_array().map_or(0, Vec::len));
                assert_eq!(rows[0] + rows[1], run.outcome.transcript.rows.len());
                assert_eq!(object["refusals"].is_array(), run.plan.spec.refusals);
            });
        }
    }

    #[test]
    fn a_fault_is_named() {
        with_run("--fault merge-across", GOOD, |run| {
            assert_eq!(object(&run, "QEMU 0.0")["fault"], "merge-across");
            assert_eq!(object(&run, "QEMU 0.0")["options"]["fault"], "merge-across");
        });
    }

    #[test]
    fn the_area_is_as_the_guest_reports_it_and_the_options_as_given() {
        let lines = GOOD.replace("cma_area_mib 256", "cma_area_mib 2");
        with_run("--cma 1 --chunk 1 --interval-ms 7", &lines, |run| {
            let object = object(&run, "QEMU 0.0");
            assert_eq!(object["cma_mib"], 2);
            let options = json!({
                "cpus": 4, "memory": 1024, "cma": 1, "jobs": 16, "cycles": 30, "chunk": 1,
                "interval_ms": 7, "seed": 1, "accel": "tcg",
            });
            assert_eq!(object["options"], options);
            let command = object["command"].as_str().unwrap();
            assert!(command.starts_with("cargo run -- cma --cpus 4 --memory 1024 --cma 1 "), "{command}");
        });
    }

    #[test]
    fn rows_become_objects() {
        let row = Row {
            name: "merge-across".to_owned(),
            cells: vec![
                ("missed_pages".to_owned(), Cell::Integer(5120)),
                ("ns".to_owned(), Cell::Decimal(1.25)),
                ("detected".to_owned(), Cell::Word("true".to_owned())),
                ("seed_patch".to_owned(), Cell::Word("10".to_owned())),
                ("reason".to_owned(), Cell::Word("not_migrated,_pinned".to_owned())),
            ],
        };
        assert_eq!(
            row_object("fault", &row).to_string(),
            r#"{"fault":"merge-across","missed_pages":5120,"ns":1.25,"detected":true,"seed_patch":"10","reason":"not migrated, pinned"}"#
        );
    }
}
