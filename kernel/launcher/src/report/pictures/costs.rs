//! Instructions of operations beside their targets and those of Linux.

use plotters::element::Circle;
use plotters::style::Color as _;

use crate::guest::transcript::{Cell, Row};
use crate::report::pictures::canvas::{Frame, INK, OTHER, OURS, Side, WRONG, axes, line, short, svg, text};

/// The columns of a row that are drawn.
const OURS_KEY: &str = pageblock_protocol::stat::INSTRUCTIONS;
const TARGET_KEY: &str = pageblock_protocol::stat::TARGET;
const LINUX_KEY: &str = "linux_7.2_lean";
/// The distance from one row to the next.
const ROW: i32 = 24;

/// A line for each row that has instructions, on a logarithmic scale; empty without any.
pub(crate) fn costs(rows: &[Row]) -> Option<String> {
    let number = |row: &Row, key| row.cell(key).and_then(Cell::number).filter(|number| *number > 0.0);
    let rows: Vec<&Row> = rows.iter().filter(|row| number(row, OURS_KEY).is_some()).collect();
    let most = rows.iter().flat_map(|row| [OURS_KEY, LINUX_KEY].map(|key| number(row, key).unwrap_or(1.0)));
    let decades = most.fold(1.0, f64::max).log10().ceil() as i32;
    if rows.is_empty() {
        return None;
    }
    let (width, height) = (1050, 70 + ROW * rows.len() as i32);
    let frame = Frame { left: 260, top: 34, right: width - 60, bottom: height - 28 };
    let x = |figure: f64| frame.x((figure.log10() / f64::from(decades)).clamp(0.0, 1.0));
    Some(svg(width, height, |canvas| {
        let powers =
            (1..=decades).map(|power| (f64::from(power) / f64::from(decades), short(10_f64.powi(power))));
        axes(canvas, frame, &powers.collect::<Vec<_>>(), &[])?;
        for (row, y) in rows.iter().zip((frame.top + ROW / 2..).step_by(ROW.unsigned_abs() as usize)) {
            text(canvas, &row.name, (frame.left - 10, y), Side::Left, false)?;
            line(canvas, vec![(frame.left, y), (frame.right, y)], super::canvas::GRID, 1)?;
            let figure = number(row, OURS_KEY).unwrap_or(1.0);
            if let Some(linux) = number(row, LINUX_KEY) {
                canvas.draw(&Circle::new((x(linux), y), 5, OTHER.stroke_width(2)))?;
            }
            if let Some(target) = number(row, TARGET_KEY) {
                line(canvas, vec![(x(target), y - 8), (x(target), y + 8)], INK, 2)?;
            }
            let colour = if row.misses_target() == Some(true) { WRONG } else { OURS };
            canvas.draw(&Circle::new((x(figure), y), 6, colour.filled()))?;
        }
        for (left, name) in
            [(260, "pageblock"), (370, "pageblock, target missed"), (570, "target"), (660, "Linux 7.2 lean")]
        {
            match name {
                "target" => line(canvas, vec![(left, 6), (left, 22)], INK, 2)?,
                "Linux 7.2 lean" => canvas.draw(&Circle::new((left, 14), 5, OTHER.stroke_width(2)))?,
                "pageblock" => canvas.draw(&Circle::new((left, 14), 6, OURS.filled()))?,
                _ => canvas.draw(&Circle::new((left, 14), 6, WRONG.filled()))?,
            }
            text(canvas, name, (left + 12, 14), Side::Right, false)?;
        }
        Ok(())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::transcript::Transcript;

    #[test]
    fn every_measured_row_is_drawn() {
        let mut transcript = Transcript::default();
        for line in include_str!("../samples/bench.txt").lines() {
            transcript.receive(line);
        }
        let text = costs(&transcript.rows).unwrap();
        for row in transcript.rows.iter().filter(|row| row.cell(OURS_KEY).is_some()) {
            assert!(text.contains(&row.name), "{} is not in the picture", row.name);
        }
        assert!(!text.contains("storm-on"), "it has no instructions");
        assert_eq!(costs(&[]), None);
    }
}
