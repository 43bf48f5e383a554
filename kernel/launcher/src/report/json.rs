//! The results as one JSON object, for scripts.
//!
//! The fields are those of the scenario's required measurements; a dot in a
//! measurement's name makes an object of what follows.

use serde_json::{Map, Value, json};

use super::Run;
use crate::scenarios::Cycle;
use crate::transcript::{Cell, Row};

/// The results of a run that has some.
pub fn object(run: &Run<'_>) -> Value {
    let Run { story, arguments, outcome, .. } = run;
    let mut object = Map::new();
    for (key, value) in [
        ("scenario", json!(story.scenario.name())),
        ("cpus", json!(arguments.machine().cpus)),
        ("memory_mib", json!(arguments.memory)),
        ("cma_mib", json!(arguments.cma())),
        ("jobs", json!(arguments.jobs)),
        ("cycles", json!(arguments.cycles())),
    ] {
        object.insert(key.to_owned(), value);
    }
    if story.cycle == Cycle::Blocks {
        object.insert("block_mib".to_owned(), json!(arguments.chunk()));
    }
    for key in story.required {
        let value = outcome.transcript.stat(key);
        insert(&mut object, key, json!(value));
    }
    if !story.row_name.is_empty() {
        let rows = outcome.transcript.rows.iter();
        let rows: Vec<Value> = rows.map(|row| row_object(story.row_name, row)).collect();
        object.insert("rows".to_owned(), json!(rows));
    }
    if let Some(fault) = &arguments.fault {
        object.insert("fault".to_owned(), json!(fault));
    }
    object.insert("seed".to_owned(), json!(arguments.seed));
    Value::Object(object)
}

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
    let name = (row_name.to_owned(), json!(row.name));
    let cells = row.cells.iter().map(|(key, cell)| {
        let value = match cell {
            Cell::Integer(value) => json!(value),
            Cell::Decimal(value) => json!(value),
            Cell::Word(word) => match word.as_str() {
                "true" => json!(true),
                "false" => json!(false),
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
    use crate::report::table::tests::with_run;
    use crate::transcript::Row;

    #[test]
    fn the_main_job_has_the_documented_fields() {
        with_run("--seed 7", |run| {
            let object = object(&run);
            let keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(
                keys,
                [
                    "scenario",
                    "cpus",
                    "memory_mib",
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
                    "seed",
                ]
            );
            assert_eq!(object["scenario"], "cma");
            assert_eq!(object["cpus"], 4);
            assert_eq!(object["missed_pages"], 0);
            assert_eq!(object["seed"], 7);
            let latency = object["latency_us"].as_object().unwrap();
            let keys: Vec<&str> = latency.keys().map(String::as_str).collect();
            assert_eq!(keys, ["min", "p50", "p99", "max"]);
            assert_eq!(latency["p99"], 9900);
        });
    }

    #[test]
    fn a_fault_is_named() {
        with_run("--fault merge-across", |run| {
            assert_eq!(object(&run)["fault"], "merge-across");
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
            ],
        };
        assert_eq!(
            row_object("fault", &row).to_string(),
            r#"{"fault":"merge-across","missed_pages":5120,"ns":1.25,"detected":true,"seed_patch":"10"}"#
        );
    }
}
