//! The plot: four panels, with a line for each workload and a dot for each allocator.
//!
//! Lower figures are better in the two upper panels, higher figures in the two lower ones. A figure
//! beyond the scale is an arrow at the edge, with its value.

use std::path::Path;

use plotters::backend::SVGBackend;
use plotters::drawing::IntoDrawingArea as _;
use plotters::style::WHITE;

use crate::peer::PeerId;
use crate::report::panel::{self, Line, Naming, Panel, Place, Scale};
use crate::results::{Results, Row, Value};
use crate::workloads::list::Kind;

const WIDTH: u32 = 1200;
/// The height of the legend, which has up to two lines.
const LEGEND: i32 = 72;
/// The height of a panel without its lines: its title and its scale.
const FRAME: i32 = 74;
/// The distance from one line to the next.
const LINE: i32 = 30;

/// Writes `path`, an SVG file.
pub(crate) fn write(path: &Path, results: &Results) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let rows = results.rows();
    let steady = |unit| lines(&rows, |row| row.workload.kind() == Kind::Steady && row.unit == unit);
    let panels = [
        Panel {
            title: "Instructions for an allocation and its free (less is better)",
            scale: Scale::Logarithmic { from: 10.0, to: 2000.0 },
            lines: steady("instructions"),
        },
        Panel {
            title: "Nanoseconds for the same, best of many rounds (less is better)",
            scale: Scale::Logarithmic { from: 1.0, to: 200.0 },
            lines: steady("ns"),
        },
        Panel {
            title: "Blocks of 2 MiB that can be allocated, of the ideal (more is better)",
            scale: Scale::Linear { from: 0.0, to: 1.0 },
            lines: lines(&rows, |row| row.unit == "of ideal"),
        },
        Panel {
            title: "Million pairs a second (more is better)",
            scale: Scale::Logarithmic { from: 1.0, to: 2000.0 },
            lines: lines(&rows, |row| row.unit == "M pairs/s, 2 threads"),
        },
    ];

    let heights = [0, 2].map(|first: usize| {
        let most = panels[first..first + 2].iter().map(|panel| panel.lines.len()).max().unwrap_or(0);
        FRAME + LINE * most as i32
    });
    let height = LEGEND + heights[0] + heights[1] + 10;
    let root = SVGBackend::new(path, (WIDTH, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let shown: Vec<PeerId> =
        PeerId::ALL.iter().copied().filter(|peer| panels.iter().any(|panel| panel.shows(*peer))).collect();
    panel::legend(&root, &shown, WIDTH as i32)?;
    let tops = [LEGEND, LEGEND + heights[0]];
    for (number, panel) in panels.iter().enumerate() {
        let (left, width) = if number % 2 == 0 { (0, 670) } else { (670, WIDTH as i32 - 670) };
        // The second panel has the same lines as the first.
        let naming = if number == 1 { Naming::Short } else { Naming::Full };
        panel.draw(&root, Place { left, top: tops[number / 2], width, naming, line: LINE })?;
    }
    root.present()?;
    Ok(())
}

fn lines(rows: &[Row], wanted: impl Fn(&Row) -> bool) -> Vec<Line> {
    let chosen = rows.iter().filter(|row| wanted(row));
    chosen
        .map(|row| Line {
            key: row.workload.key(),
            title: row.workload.title(),
            dots: row
                .values
                .iter()
                .filter_map(|(&peer, value)| match value {
                    Value::Number(number) if peer != PeerId::Null => Some((peer, *number)),
                    _ => None,
                })
                .collect(),
        })
        .collect()
}
