//! The table: a line for each figure, a column for each allocator, and ratios.
//!
//! A ratio is the figure of pageblock in one of its modes, divided by the best figure of the
//! published allocators. A figure of pageblock that misses its target, or is behind that of a
//! published allocator, is marked, and the last lines name all such figures.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use crate::peer::{Pace, PeerId};
use crate::results::{Better, Results, Row, Shortcoming, Value};

/// The table of all results.
pub(crate) fn table(results: &Results) -> String {
    let rows = results.rows();
    let peers: Vec<PeerId> = PeerId::ALL
        .iter()
        .copied()
        .filter(|peer| rows.iter().any(|row| row.values.contains_key(peer)))
        .collect();
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let head = |peer: &PeerId| match peer.pace() {
        Pace::Normal => peer.title().replace(", ", ",\n"),
        Pace::Slow => format!("{} *", peer.title()),
    };
    table.set_header(
        ["workload", "", "figure"]
            .map(str::to_owned)
            .into_iter()
            .chain(peers.iter().map(head))
            .chain(["default\n÷ best".to_owned(), "owner-only\n÷ best".to_owned()]),
    );
    let mut last = None;
    for row in &rows {
        let first = last != Some(row.workload);
        last = Some(row.workload);
        let names = if first { [row.workload.key(), row.workload.title()] } else { ["", ""] };
        let mut cells: Vec<Cell> = names.iter().chain([&row.unit]).map(Cell::new).collect();
        cells.extend(peers.iter().map(|peer| {
            let value = row.values.get(peer).map(show).unwrap_or_default();
            right(value + row.shortcoming(*peer).filter(|_| peer.is_ours()).map_or("", mark))
        }));
        cells.extend(MODES.map(|mode| right(ratio(row, mode))));
        table.add_row(cells);
    }
    let slow = peers.iter().any(|peer| peer.pace() == Pace::Slow);
    let note =
        if slow { "\n* measured on a sixteenth of the frames or rounds, because it is slow" } else { "" };
    format!("{table}{note}\n{}", conclusion(&rows))
}

/// The modes of pageblock.
const MODES: [PeerId; 2] = [PeerId::OursDefault, PeerId::Ours];

/// The mark of a figure of pageblock.
fn mark(short: Shortcoming) -> &'static str {
    match short {
        Shortcoming { misses: Some(_), trails: true } => " !<",
        Shortcoming { misses: Some(_), trails: false } => " !",
        Shortcoming { misses: None, .. } => " <",
    }
}

/// What the marks mean and which figures have one, or that none has.
fn conclusion(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    for mode in MODES {
        for row in rows {
            let (Some(short), Some(value)) = (row.shortcoming(mode), row.values.get(&mode)) else {
                continue;
            };
            let mut line = format!("{}, {} {}: {}", mode.title(), row.workload.key(), row.unit, show(value));
            if let Some(target) = short.misses {
                line += &format!(", target {}", show(&Value::Number(target)));
            }
            if let Some(best) = row.best().filter(|_| short.trails) {
                line += &format!(", best published allocator {}", show(&Value::Number(best)));
            }
            lines.push(line);
        }
    }
    if lines.is_empty() {
        if !rows.iter().any(|row| MODES.iter().any(|mode| row.values.contains_key(mode))) {
            return String::new();
        }
        return "Every figure with a target meets it, and no published allocator has a better figure."
            .to_owned();
    }
    let count = lines.len();
    format!(
        "! misses the target, < behind the best published allocator:\n{}\n{count} figures fall short.",
        lines.join("\n")
    )
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn ratio(row: &Row, mode: PeerId) -> String {
    match row.ratio(mode) {
        Some(ratio) if row.better != Better::Neither => format!("{ratio:.2}"),
        _ => String::new(),
    }
}

/// A figure with three significant digits, or with its digits in groups.
fn show(value: &Value) -> String {
    let number = match value {
        Value::Word(word) => return word.clone(),
        Value::Number(number) | Value::Aside(number) => *number,
    };
    match number.abs() {
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => thousands(number),
    }
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
