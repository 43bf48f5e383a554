//! The results as one JSON object: the rows of the table, and the unprocessed results.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use crate::arena::FRAMES;
use crate::campaign::Campaign;
use crate::peer::PeerId;
use crate::results::{Results, Row, Value};

/// Writes the object to `path`.
pub(crate) fn write(
    path: &Path,
    campaign: &Campaign,
    results: &Results,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let rows: Vec<Json> = results
        .rows()
        .iter()
        .map(|row| {
            let values: Map<String, Json> =
                row.values.iter().map(|(peer, value)| (peer.key().to_owned(), show(value))).collect();
            json!({
                "workload": row.workload.key(),
                "title": row.workload.title(),
                "unit": row.unit,
                "better": row.better.key(),
                "values": values,
                "best_peer": row.best(),
                "modes": modes(row),
            })
        })
        .collect();
    let found: Vec<Json> = results
        .found()
        .map(|(workload, peer, found)| json!({"workload": workload.key(), "allocator": peer.key(), "found": found}))
        .collect();
    let peers: BTreeMap<_, _> = campaign.peers.iter().map(|peer| (peer.key(), peer.title())).collect();
    let object = json!({
        "frames": FRAMES,
        "processor": processor(),
        "effort": format!("{:?}", campaign.effort).to_lowercase(),
        "allocators": peers,
        "rows": rows,
        "found": found,
    });
    fs::write(path, format!("{}\n", serde_json::to_string_pretty(&object)?))?;
    Ok(())
}

/// Each mode of pageblock: its ratio to the best published allocator, its target, and what falls
/// short.
fn modes(row: &Row) -> Map<String, Json> {
    let of_mode = |mode: PeerId| {
        let short = row.shortcoming(mode);
        let about = json!({
            "to_best_peer": row.ratio(mode),
            "target": row.target(mode),
            "misses_target": short.is_some_and(|it| it.misses.is_some()),
            "trails_best_peer": short.is_some_and(|it| it.trails),
        });
        (mode.key().to_owned(), about)
    };
    PeerId::ALL
        .iter()
        .copied()
        .filter(|mode| row.values.contains_key(mode) && mode.is_ours())
        .map(of_mode)
        .collect()
}

fn show(value: &Value) -> Json {
    match value {
        Value::Number(number) | Value::Aside(number) => json!(number),
        Value::Word(word) => json!(word),
    }
}

/// The model of the processor, as Linux reports it.
fn processor() -> Option<String> {
    let about = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = about.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
