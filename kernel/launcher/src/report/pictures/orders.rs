//! The free memory by the order of its blocks, over time.

use plotters::element::Polygon;
use plotters::style::{Color as _, RGBColor};

use crate::report::pictures::canvas::{Frame, INK, Side, axes, fill, line, svg, text, ticks};

/// The colours of orders, from small blocks to large ones.
const COLOURS: [RGBColor; 11] = [
    RGBColor(68, 1, 84),
    RGBColor(72, 36, 117),
    RGBColor(65, 68, 135),
    RGBColor(53, 95, 141),
    RGBColor(42, 120, 142),
    RGBColor(33, 145, 140),
    RGBColor(34, 168, 132),
    RGBColor(68, 191, 112),
    RGBColor(122, 209, 81),
    RGBColor(189, 223, 38),
    RGBColor(253, 231, 37),
];

/// An area for each order, one on the other. A sample is a time in microseconds and the numbers of
/// free blocks.
pub(crate) fn areas(samples: &[(u64, Vec<u64>)]) -> String {
    let (width, height) = (1050, 280);
    let frame = Frame { left: 72, top: 14, right: width - 110, bottom: height - 24 };
    let first = samples.first().map_or(0, |sample| sample.0);
    let last = samples.last().map_or(0, |sample| sample.0).max(first + 1);
    let most = samples.iter().map(|(_, blocks)| mib_up_to(blocks, blocks.len())).fold(1.0, f64::max);
    let orders = samples.iter().map(|(_, blocks)| blocks.len()).max().unwrap_or(0);
    svg(width, height, |canvas| {
        let seconds = ticks((last - first) as f64 / 1e6, 8, " s");
        axes(canvas, frame, &seconds, &ticks(most, 4, " MiB"))?;
        // The largest blocks are at the bottom, where the eye compares best.
        for order in (0..orders).rev() {
            let x = |us: u64| frame.x((us - first) as f64 / (last - first) as f64);
            let below = |order: usize| {
                let height = move |blocks: &[u64]| mib(blocks) - mib_up_to(blocks, order);
                samples.iter().map(move |(us, blocks)| (x(*us), frame.y(height(blocks) / most)))
            };
            let mut outline: Vec<(i32, i32)> = below(order).collect();
            outline.extend(below(order + 1).collect::<Vec<_>>().into_iter().rev());
            let colour = COLOURS[order.min(COLOURS.len() - 1)];
            canvas.draw(&Polygon::new(outline, colour.filled()))?;
            let y = frame.bottom - 10 - 20 * (orders - 1 - order) as i32;
            let mark = Frame { left: frame.right + 14, right: frame.right + 30, top: y - 7, bottom: y + 7 };
            fill(canvas, mark, colour, 1.0)?;
            text(canvas, &format!("order {order}"), (frame.right + 36, y), Side::Right, false)?;
        }
        line(canvas, vec![(frame.left, frame.bottom), (frame.right, frame.bottom)], INK, 1)
    })
}

fn mib(blocks: &[u64]) -> f64 {
    mib_up_to(blocks, blocks.len())
}

/// The memory of the blocks of orders below that one.
fn mib_up_to(blocks: &[u64], end: usize) -> f64 {
    blocks
        .iter()
        .take(end)
        .enumerate()
        .map(|(order, count)| *count as f64 * (1_u64 << order) as f64 / 256.0)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_memory() {
        let blocks = [256, 0, 64];
        assert!((mib(&blocks) - 2.0).abs() < 1e-9);
        assert!((mib_up_to(&blocks, 1) - 1.0).abs() < 1e-9);
        assert!(areas(&[]).starts_with("<svg "));
        let text = areas(&[(1, blocks.to_vec()), (9, vec![0; 3])]);
        assert_eq!(text.matches("<polygon").count(), 3, "{text}");
    }
}
