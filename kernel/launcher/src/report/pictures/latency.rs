//! Durations as a histogram with percentiles.

use crate::report::pictures::canvas::{
    Canvas, Drawn, Frame, OURS, Side, WRONG, axes, fill, line, svg, text, ticks,
};

/// Bars in a decade.
const BARS: i32 = 6;

/// A histogram of durations in microseconds, on a logarithmic scale.
pub(crate) fn histogram(durations: &[u64]) -> String {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let (width, height) = (1050, 270);
    let frame = Frame { left: 62, top: 72, right: width - 24, bottom: height - 24 };
    svg(width, height, |canvas| draw(canvas, frame, &sorted))
}

fn draw(canvas: &Canvas<'_>, frame: Frame, sorted: &[u64]) -> Drawn {
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return Ok(()) };
    let log = |us: u64| (us.max(1) as f64).log10();
    let (from, to) = (log(*least).floor() as i32, (log(*most).floor() as i32) + 1);
    let share = |us: u64| (log(us) - f64::from(from)) / f64::from(to - from);

    let bars = ((to - from) * BARS).unsigned_abs() as usize;
    let mut counts = vec![0_u32; bars];
    for us in sorted {
        let bar = (share(*us) * bars as f64) as usize;
        counts[bar.min(bars - 1)] += 1;
    }
    let highest = counts.iter().max().copied().unwrap_or(1).max(1);
    let decades = (from..=to).map(|power| {
        (f64::from(power - from) / f64::from(to - from), duration(10_u64.pow(power.unsigned_abs())))
    });
    axes(canvas, frame, &decades.collect::<Vec<_>>(), &whole(&ticks(highest.into(), 4, "")))?;
    for (number, count) in counts.iter().enumerate() {
        let bar = Frame {
            left: frame.x(number as f64 / bars as f64) + 1,
            right: frame.x((number + 1) as f64 / bars as f64) - 1,
            top: frame.y(f64::from(*count) / f64::from(highest)),
            bottom: frame.bottom,
        };
        fill(canvas, bar, OURS, 1.0)?;
    }
    for (number, (name, us)) in percentiles(sorted).into_iter().enumerate() {
        let x = frame.x(share(us));
        // A row for each label, because the marks may be close to each other.
        let y = 10 + 15 * number as i32;
        line(canvas, vec![(x, y), (x, frame.bottom)], WRONG, 1)?;
        let (side, beside) = if share(us) > 0.85 { (Side::Left, -5) } else { (Side::Right, 5) };
        text(canvas, &format!("{name} {}", duration(us)), (x + beside, y), side, false)?;
    }
    Ok(())
}

/// The ticks of numbers of operations, of which there is no half.
fn whole(ticks: &[(f64, String)]) -> Vec<(f64, String)> {
    ticks.iter().filter(|(_, label)| !label.contains('.')).cloned().collect()
}

/// The percentiles that so many durations have, and the longest duration. Of two there is no p99: a
/// percentile is named if the durations above it are at least one.
fn percentiles(sorted: &[u64]) -> Vec<(String, u64)> {
    let least = [(50, 2), (90, 10), (99, 100)];
    let known = least.into_iter().filter(|(_, least)| sorted.len() >= *least);
    let rank = |percent: usize| (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    let named = known.filter_map(|(percent, _)| Some((format!("p{percent}"), *sorted.get(rank(percent))?)));
    named.chain(sorted.last().map(|last| ("max".to_owned(), *last))).collect()
}

fn duration(us: u64) -> String {
    match us {
        1_000_000.. => format!("{:.2} s", us as f64 / 1e6),
        1000.. => format!("{} ms", (us as f64 / 100.0).round() / 10.0),
        _ => format!("{us} µs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_durations_have_few_percentiles() {
        let names = |count: u64| {
            let sorted: Vec<u64> = (1..=count).collect();
            percentiles(&sorted).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(0), Vec::<String>::new());
        assert_eq!(names(1), ["max"]);
        assert_eq!(names(2), ["p50", "max"]);
        assert_eq!(names(30), ["p50", "p90", "max"]);
        assert_eq!(names(100), ["p50", "p90", "p99", "max"]);
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentiles(&hundred)[2], ("p99".to_owned(), 99));
    }

    #[test]
    fn every_duration_is_in_a_bar() {
        for durations in [vec![], vec![0], vec![1], vec![7, 7, 7], vec![1, 10, 100, 1_000_000]] {
            assert!(histogram(&durations).starts_with("<svg "), "{durations:?}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!([7, 1540, 2_500_000].map(duration), ["7 µs", "1.5 ms", "2.50 s"]);
    }
}
