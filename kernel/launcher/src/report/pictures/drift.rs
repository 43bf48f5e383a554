//! The count against the truth: the free counter less the free pages, over time.
//!
//! One panel for each history, all at the same scale. The scale is logarithmic on both sides of 0,
//! because one mistake makes the count wrong by two thousand pages and another one by sixty
//! thousand, and both must be seen beside a line that is flat.

use crate::guest::samples::AuditSample;
use crate::report::pictures::canvas::{
    Canvas, Drawn, Frame, INK, OTHER, OURS, Side, WRONG, axes, fill, line, short, svg, text, ticks,
};

/// The audits of one panel.
#[derive(Clone, Debug)]
pub(crate) struct History<'s> {
    /// What they are of.
    pub(crate) title: String,
    /// The audits of the allocator as it is.
    pub(crate) exact: Vec<&'s AuditSample>,
    /// Those with a mistake, or under another design.
    pub(crate) mistaken: Vec<&'s AuditSample>,
}

const COLUMNS: i32 = 3;
const PANEL: (i32, i32) = (350, 170);

/// A panel for each history.
pub(crate) fn panels(histories: &[History<'_>]) -> String {
    let columns = COLUMNS.min(histories.len() as i32).max(1);
    let rows = (histories.len() as i32 + columns - 1) / columns;
    // A single panel may be as wide as three.
    let width = if columns == 1 { 3 * PANEL.0 } else { PANEL.0 };
    let scale = Scale::of(histories);
    svg(columns * width, rows * PANEL.1, |canvas| {
        for (number, history) in (0..).zip(histories) {
            let (left, top) = (number % columns * width, number / columns * PANEL.1);
            let frame = Frame {
                left: left + 62,
                top: top + 28,
                right: left + width - 14,
                bottom: top + PANEL.1 - 24,
            };
            panel(canvas, frame, history, &scale)?;
        }
        Ok(())
    })
}

/// Pages of drift as shares of the height of a panel.
struct Scale {
    /// The decades above and below 0.
    decades: f64,
}

impl Scale {
    fn of(histories: &[History<'_>]) -> Self {
        let audits = histories.iter().flat_map(|history| history.exact.iter().chain(&history.mistaken));
        let most = audits.map(|audit| audit.drift().unsigned_abs()).max().unwrap_or(0);
        Self { decades: (1.2 * most as f64).log10().max(2.0) }
    }

    fn share(&self, drift: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "pages, far below 2^53")]
        let drift = drift as f64;
        let size = (1.0 + drift.abs()).log10() / self.decades;
        0.5 + size.min(1.0).copysign(drift) / 2.0
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        let shown = if self.decades > 3.0 { 2 } else { 1 };
        let powers = (1..=self.decades as i32).filter(|power| power % shown == 0);
        let both = powers.flat_map(|power| {
            let pages = 10_i64.pow(power.unsigned_abs());
            let label = short(pages as f64);
            [(pages, format!("+{label}")), (-pages, format!("−{label}"))]
        });
        both.chain([(0, "0".to_owned())]).map(|(pages, label)| (self.share(pages), label)).collect()
    }
}

fn panel(canvas: &Canvas<'_>, frame: Frame, history: &History<'_>, scale: &Scale) -> Drawn {
    let all = || history.exact.iter().chain(&history.mistaken);
    let first = all().map(|audit| audit.at_us).min().unwrap_or(0);
    let last = all().map(|audit| audit.at_us).max().unwrap_or(0).max(first + 1);
    let share = |us: u64| (us - first) as f64 / (last - first) as f64;
    text(canvas, &history.title, (frame.left, frame.top - 14), Side::Right, true)?;
    let seconds = ticks((last - first) as f64 / 1e6, 4, " s");
    axes(canvas, frame, &seconds, &scale.ticks())?;
    if let Some(on) = history.mistaken.iter().map(|audit| audit.at_us).min()
        && !history.exact.is_empty()
    {
        let area = Frame { left: frame.x(share(on)), ..frame };
        fill(canvas, area, WRONG, 0.10)?;
        let (x, side) = if area.right - area.left > 70 {
            (area.left + 4, Side::Right)
        } else {
            (area.left - 4, Side::Left)
        };
        text(canvas, "mistake on", (x, frame.top + 8), side, false)?;
    }
    for (audits, colour) in [(&history.exact, OURS), (&history.mistaken, WRONG)] {
        let points =
            audits.iter().map(|audit| (frame.x(share(audit.at_us)), frame.y(scale.share(audit.drift()))));
        line(canvas, steps(points), colour, 2)?;
    }
    Ok(())
}

/// A line that keeps a height until the next point.
fn steps(points: impl Iterator<Item = (i32, i32)>) -> Vec<(i32, i32)> {
    let mut line: Vec<(i32, i32)> = Vec::new();
    for (x, y) in points {
        match line.last() {
            Some(&(_, before)) if before != y => line.extend([(x, before), (x, y)]),
            Some(&(last, _)) if last == x => {}
            _ => line.push((x, y)),
        }
    }
    line
}

/// The free counter and the free pages of one history, in MiB.
pub(crate) fn count_and_truth(audits: &[AuditSample]) -> String {
    let (width, height) = (COLUMNS * PANEL.0, 230);
    let frame = Frame { left: 62, top: 28, right: width - 14, bottom: height - 24 };
    let first = audits.first().map_or(0, |audit| audit.at_us);
    let last = audits.last().map_or(0, |audit| audit.at_us).max(first + 1);
    #[expect(clippy::cast_precision_loss, reason = "pages, far below 2^53")]
    let mib = |pages: i64| pages as f64 / 256.0;
    let most = audits.iter().map(|audit| mib(audit.counter.max(audit.truth))).fold(1.0, f64::max);
    svg(width, height, |canvas| {
        axes(canvas, frame, &ticks((last - first) as f64 / 1e6, 8, " s"), &ticks(most, 4, " MiB"))?;
        let line_of = |of: fn(&AuditSample) -> i64| {
            let x = |audit: &AuditSample| frame.x((audit.at_us - first) as f64 / (last - first) as f64);
            audits.iter().map(|audit| (x(audit), frame.y(mib(of(audit)) / most))).collect::<Vec<_>>()
        };
        line(canvas, line_of(|audit| audit.truth), OTHER, 5)?;
        line(canvas, line_of(|audit| audit.counter), INK, 1)?;
        let mut x = frame.left;
        for (name, colour, stroke) in
            [("free pages, by a walk of all lists", OTHER, 5), ("the free counter", INK, 1)]
        {
            line(canvas, vec![(x, 12), (x + 24, 12)], colour, stroke)?;
            text(canvas, name, (x + 30, 12), Side::Right, false)?;
            x += 250;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(at_us: u64, drift: i64) -> AuditSample {
        AuditSample { series: String::new(), at_us, counter: 100 + drift, truth: 100 }
    }

    #[test]
    fn a_drift_of_zero_is_in_the_middle_and_signs_are_on_their_sides() {
        let scale = Scale { decades: 4.0 };
        assert!((scale.share(0) - 0.5).abs() < 1e-9);
        assert!(scale.share(100) > 0.7 && scale.share(-100) < 0.3);
        assert!((scale.share(i64::MAX) - 1.0).abs() < 1e-9);
        let labels: Vec<String> = scale.ticks().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["+100", "−100", "+10 k", "−10 k", "0"]);
    }

    #[test]
    fn all_panels_have_the_scale_of_the_largest_drift() {
        let audits = [audit(1, 0), audit(2, 0), audit(3, -9000)];
        let history = |mistaken: Vec<_>| History { title: "x".to_owned(), exact: vec![&audits[0]], mistaken };
        let scale = Scale::of(&[history(vec![]), history(vec![&audits[2]])]);
        assert!((3.9..4.2).contains(&scale.decades), "{}", scale.decades);
        assert!(scale.share(-9000) > 0.0, "the largest drift is within the panel");
        assert!((Scale::of(&[history(vec![])]).decades - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_history_without_drift_is_one_flat_line() {
        assert_eq!(steps([(0, 5), (0, 5), (3, 5), (9, 5)].into_iter()), [(0, 5), (3, 5), (9, 5)]);
        assert_eq!(steps([(0, 5), (4, 7)].into_iter()), [(0, 5), (4, 5), (4, 7)]);
    }
}
