//! Where the time of operations goes.

use pageblock_protocol::Latency;
use plotters::style::RGBColor;

use crate::report::pictures::canvas::{Frame, GRID, OTHER, OURS, Side, WRONG, fill, svg, text};

/// The parts in the order of their bars, each with its colour.
const PARTS: [(&str, RGBColor); 5] = [
    ("earlier attempts", GRID),
    ("isolate and drain", OURS),
    ("migrate", WRONG),
    ("audits", RGBColor(204, 121, 167)),
    ("test and take", OTHER),
];

/// One bar with the parts of all operations.
pub(crate) fn bar(latencies: &[&Latency]) -> String {
    let sums = sums(latencies);
    let whole: u64 = sums.iter().sum::<u64>().max(1);
    let (width, height) = (1050, 90);
    let frame = Frame { left: 14, top: 40, right: width - 14, bottom: 74 };
    svg(width, height, |canvas| {
        let (mut before, mut x) = (0, frame.left);
        for ((name, colour), sum) in PARTS.into_iter().zip(sums) {
            let place = |us: u64| frame.x(us as f64 / whole as f64);
            let part = Frame { left: place(before), right: place(before + sum), ..frame };
            fill(canvas, part, colour, 1.0)?;
            before += sum;
            let label = format!("{name} {:.1} %", 100.0 * sum as f64 / whole as f64);
            fill(canvas, Frame { left: x, right: x + 14, top: 8, bottom: 22 }, colour, 1.0)?;
            text(canvas, &label, (x + 20, 15), Side::Right, false)?;
            x += 44 + 7 * label.len() as i32;
        }
        Ok(())
    })
}

/// The microseconds of each part, of all operations.
fn sums(latencies: &[&Latency]) -> [u64; PARTS.len()] {
    let mut sums = [0; PARTS.len()];
    for latency in latencies {
        let Latency { whole, isolate, migrate, audits, test } = **latency;
        let attempts = whole.saturating_sub(isolate + migrate + audits + test);
        for (sum, part) in sums.iter_mut().zip([attempts, isolate, migrate, audits, test]) {
            *sum += part;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_part_has_is_earlier_attempts() {
        let one = Latency { whole: 100, isolate: 10, migrate: 20, audits: 5, test: 15 };
        assert_eq!(sums(&[&one, &one]), [100, 20, 40, 10, 30]);
        assert!(bar(&[&one]).contains("migrate 20.0 %"));
        assert!(bar(&[]).starts_with("<svg "));
    }
}
