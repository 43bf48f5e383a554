//! A plot of the memory that the guest uses, and of the memory that the host holds beyond that.

use std::fmt::Write as _;

use crate::guest::residency::{Point, Purpose, Residency, idle_kib, points};
use crate::report::width::wrap;

const ROWS: u64 = 8;
/// Columns of the labels at the left.
const LABEL: usize = 9;
/// The widest plot.
const WIDEST: usize = 100;

/// A plot for each boot with a demand, of that width. `None` if there is none.
pub(crate) fn plots(all: &[Residency], width: usize) -> Option<String> {
    let idle = idle_kib(all).unwrap_or(0);
    let titles = [(Purpose::Without, "reporting off"), (Purpose::With, "reporting on")];
    let most = all.iter().flat_map(|one| &one.points);
    let most = most.map(|point| point.used_kib.max(point.resident_kib.saturating_sub(idle))).max()?;
    let mut parts: Vec<String> = titles
        .into_iter()
        .map(|(purpose, title)| (title, points(all, purpose)))
        .filter(|(_, points)| points.len() > 1)
        .map(|(title, points)| plot(title, points, idle, most.max(1), width.min(WIDEST)))
        .collect();
    if parts.is_empty() {
        return None;
    }
    parts.push(wrap("█ in use by the guest  ░ resident in the host beyond that", width));
    Some(parts.join("\n"))
}

fn plot(title: &str, points: &[Point], idle: u64, most: u64, width: usize) -> String {
    let columns = width.saturating_sub(LABEL + 1).max(10);
    let end = points.last().map_or(1, |point| point.ms.max(1));
    // The point that holds at the time of each column.
    let at = |column: usize| {
        let ms = end * column as u64 / columns as u64;
        let index = points.partition_point(|point| point.ms <= ms).saturating_sub(1);
        let point = points[index];
        (point.used_kib, point.resident_kib.saturating_sub(idle))
    };
    let columns: Vec<(u64, u64)> = (0..columns).map(at).collect();
    let mut text = format!("{:>LABEL$} {title}\n", "MiB");
    for row in (0..ROWS).rev() {
        let label = match row {
            0 => String::from("0"),
            _ if row == ROWS - 1 => (most >> 10).to_string(),
            _ => String::new(),
        };
        let level = most * (2 * row + 1) / (2 * ROWS);
        let cell = |(used, resident): &(u64, u64)| match () {
            () if *used > level => '█',
            () if *resident > level => '░',
            () => ' ',
        };
        let line: String = columns.iter().map(cell).collect();
        let _ = writeln!(text, "{}", format!("{label:>LABEL$} {line}").trim_end());
    }
    let seconds = format!("{} s", end.div_ceil(1000));
    let _ = write!(text, "{:>LABEL$} 0{seconds:>width$}", "", width = columns.len() - 1);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_and_not_used_has_a_sign_of_its_own() {
        let point =
            |ms, used: u64, resident: u64| Point { ms, used_kib: used << 10, resident_kib: resident << 10 };
        let all = [
            Residency { purpose: Purpose::Idle, points: vec![point(0, 0, 40)] },
            Residency {
                purpose: Purpose::With,
                points: vec![point(0, 80, 120), point(500, 10, 120), point(1000, 10, 120)],
            },
        ];
        for width in [60, 80, 100, 160] {
            let text = plots(&all, width).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            let top = text.lines().nth(1).unwrap();
            assert!(top.contains("80 ██") && top.contains("█░"), "{text}");
            assert!(text.lines().nth(8).unwrap().ends_with('█'), "{text}");
        }
        assert_eq!(plots(&[], 80), None);
    }
}
