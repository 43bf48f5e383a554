//! The map of memory over time: a row for each sample, a cell for each pageblock.

use pageblock_protocol::map::Kind;
use plotters::style::RGBColor;

use crate::report::pictures::canvas::{Frame, GRID, Side, axes, fill, svg, text, ticks};

/// The most rows. Of more samples some are left out.
const ROWS: usize = 48;
/// The opacity of a cell whose pages are all free.
const LEAST: f64 = 0.22;

/// The strongest shade. There are few, so that many neighbours are drawn as one.
const SHADES: u8 = 3;

/// The kind of a cell, and its shade by the tenths of its pages that are in use.
const fn shade((kind, tenths): (Kind, u8)) -> (Kind, u8) {
    (kind, if tenths > 9 { SHADES } else { tenths.div_ceil(3) })
}

/// The colour of a kind. What is absent has the colour of lines, on light and dark pages.
const fn colour(kind: Kind) -> RGBColor {
    let [red, green, blue] = kind.colour();
    if matches!(kind, Kind::Absent) { GRID } else { RGBColor(red, green, blue) }
}

/// The map. A sample is a time in microseconds and the cells.
pub(crate) fn map(samples: &[(u64, Vec<(Kind, u8)>)]) -> String {
    let every = samples.len().div_ceil(ROWS).max(1);
    let rows: Vec<&(u64, Vec<(Kind, u8)>)> = samples.iter().step_by(every).collect();
    let row_height = (420 / rows.len().max(1) as i32).clamp(7, 24);
    let (width, height) = (1050, 70 + row_height * rows.len() as i32);
    let frame = Frame { left: 72, top: 36, right: width - 14, bottom: height - 30 };
    let columns = rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0).max(1);
    let (first, last) = (samples.first().map_or(0, |row| row.0), rows.last().map_or(0, |row| row.0));
    svg(width, height, |canvas| {
        axes(canvas, frame, &ticks(columns as f64, 8, ""), &[])?;
        let seconds = ticks(((last - first) as f64 / 1e6).max(0.001), 6, " s");
        for (number, (_, cells)) in rows.iter().enumerate() {
            let top = frame.top + row_height * number as i32;
            let mut start = 0;
            for run in cells.chunk_by(|one, next| shade(*one) == shade(*next)) {
                let end = start + run.len();
                let x = |column: usize| frame.x(column as f64 / columns as f64);
                let (kind, shade) = shade(run[0]);
                let opacity = match kind {
                    Kind::Absent => 1.0,
                    _ => LEAST + (1.0 - LEAST) * f64::from(shade) / f64::from(SHADES),
                };
                let area = Frame { left: x(start), right: x(end), top, bottom: top + row_height };
                fill(canvas, area, colour(kind), opacity)?;
                start = end;
            }
        }
        for (share, label) in seconds {
            // Time goes down; the first row is at the top.
            let y = frame.top + (share * f64::from(row_height * rows.len() as i32 - row_height)) as i32;
            text(canvas, &label, (frame.left - 6, y + row_height / 2), Side::Left, false)?;
        }
        let seen = Kind::ALL
            .into_iter()
            .filter(|kind| rows.iter().any(|(_, cells)| cells.iter().any(|cell| cell.0 == *kind)));
        let mut x = frame.left;
        for kind in seen {
            let name = kind.name();
            fill(canvas, Frame { left: x, right: x + 14, top: 8, bottom: 22 }, colour(kind), 1.0)?;
            text(canvas, name, (x + 20, 15), Side::Right, false)?;
            x += 50 + 7 * name.len() as i32;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_are_one_rectangle_and_every_kind_seen_is_explained() {
        let cells = vec![(Kind::Movable, 0), (Kind::Movable, 0), (Kind::Cma, 9), (Kind::Absent, 0)];
        let text = map(&[(0, cells.clone()), (500_000, cells)]);
        // Three in each of two rows, and three in the legend.
        assert_eq!(text.matches("<rect ").count(), 9, "{text}");
        for name in ["movable", "CMA", "offline or reserved"] {
            assert!(text.contains(name), "{text}");
        }
        assert!(!text.contains("atomic"), "{text}");
        assert!(map(&[]).starts_with("<svg "));
    }

    #[test]
    fn a_long_run_has_no_more_rows_than_fit() {
        let samples: Vec<_> = (0..1000).map(|at| (at, vec![(Kind::Movable, 3)])).collect();
        assert!(map(&samples).matches("<rect ").count() <= ROWS + 1);
    }
}
