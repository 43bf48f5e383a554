//! What all pictures are drawn with: an SVG of plotters, colours, text, axes.
//!
//! The colours are those of a light page. The page's style sheet replaces the ones for ink and
//! lines where the reader prefers a dark page; the others, from the palette of Okabe and Ito for
//! colour-blind readers, can be told apart on both.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontStyle, IntoFont as _, RGBColor, TextStyle};

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(31, 35, 40);
/// Lines that guide the eye.
pub(super) const GRID: RGBColor = RGBColor(216, 222, 228);
/// What the allocator counts.
pub(super) const OURS: RGBColor = RGBColor(0, 114, 178);
/// What is wrong.
pub(super) const WRONG: RGBColor = RGBColor(213, 94, 0);
/// What is compared with.
pub(super) const OTHER: RGBColor = RGBColor(0, 158, 115);

/// Colours of the page's ink and lines: that of a light page, and that of a dark one.
pub(crate) const ON_A_DARK_PAGE: [(RGBColor, RGBColor); 2] =
    [(INK, RGBColor(230, 237, 243)), (GRID, RGBColor(55, 62, 71))];

/// The notation of a colour in SVG and in a style sheet, as plotters writes it.
pub(crate) fn notation(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

/// Where a picture is drawn.
pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// The result of drawing.
pub(super) type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A rectangle on a canvas, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) right: i32,
    pub(super) bottom: i32,
}

impl Frame {
    /// The pixel of a share of the width, from 0 at the left.
    pub(super) fn x(self, share: f64) -> i32 {
        self.left + (share * f64::from(self.right - self.left)).round() as i32
    }

    /// The pixel of a share of the height, from 0 at the bottom.
    pub(super) fn y(self, share: f64) -> i32 {
        self.bottom - (share * f64::from(self.bottom - self.top)).round() as i32
    }
}

/// Draws a picture of that size, and returns it as SVG.
pub(super) fn svg(width: i32, height: i32, draw: impl FnOnce(&Canvas<'_>) -> Drawn) -> String {
    let mut text = String::new();
    {
        let size = (width.unsigned_abs(), height.unsigned_abs());
        let canvas = SVGBackend::with_string(&mut text, size).into_drawing_area();
        // Writing to a string does not fail.
        let _ = draw(&canvas).and_then(|()| Ok(canvas.present()?));
    }
    // Scales with the page.
    text.replacen("<svg width=", "<svg style=\"max-width:100%;height:auto\" width=", 1)
}

/// The place of a text beside its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Center,
    Right,
}

/// Draws a text, to the left or the right of that point, or around it.
pub(super) fn text(canvas: &Canvas<'_>, what: &str, at: (i32, i32), side: Side, bold: bool) -> Drawn {
    // A text on the left of a point ends there.
    let horizontal = match side {
        Side::Left => HPos::Right,
        Side::Center => HPos::Center,
        Side::Right => HPos::Left,
    };
    let weight = if bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = ("sans-serif", 12).into_font().style(weight);
    let style = TextStyle::from(font).color(&INK).pos(Pos::new(horizontal, VPos::Center));
    canvas.draw(&Text::new(what.to_owned(), at, style))?;
    Ok(())
}

/// Draws a line through those points.
pub(super) fn line(canvas: &Canvas<'_>, points: Vec<(i32, i32)>, colour: RGBColor, width: u32) -> Drawn {
    canvas.draw(&PathElement::new(points, colour.stroke_width(width)))?;
    Ok(())
}

/// Fills a rectangle.
pub(super) fn fill(canvas: &Canvas<'_>, frame: Frame, colour: RGBColor, opacity: f64) -> Drawn {
    let corners = [(frame.left, frame.top), (frame.right, frame.bottom)];
    canvas.draw(&Rectangle::new(corners, colour.mix(opacity).filled()))?;
    Ok(())
}

/// Draws the axes of a frame: a line and a label for each tick, whose place is a share.
pub(super) fn axes(canvas: &Canvas<'_>, frame: Frame, x: &[(f64, String)], y: &[(f64, String)]) -> Drawn {
    for (share, label) in y {
        let at = frame.y(*share);
        line(canvas, vec![(frame.left, at), (frame.right, at)], GRID, 1)?;
        text(canvas, label, (frame.left - 6, at), Side::Left, false)?;
    }
    for (share, label) in x {
        let at = frame.x(*share);
        line(canvas, vec![(at, frame.bottom), (at, frame.bottom + 4)], INK, 1)?;
        text(canvas, label, (at, frame.bottom + 13), Side::Center, false)?;
    }
    line(canvas, vec![(frame.left, frame.bottom), (frame.right, frame.bottom)], INK, 1)
}

/// Round numbers from 0 to `most`, about so many, as shares of `most` with their labels.
pub(super) fn ticks(most: f64, about: u32, unit: &str) -> Vec<(f64, String)> {
    if most <= 0.0 {
        return vec![(0.0, format!("0{unit}"))];
    }
    let raw = most / f64::from(about);
    let magnitude = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|step| *step >= raw);
    let step = step.unwrap_or(10.0 * magnitude);
    let count = (most / step).floor() as u32;
    (0..=count)
        .map(|n| (f64::from(n) * step / most, format!("{}{unit}", short(f64::from(n) * step))))
        .collect()
}

/// A number without digits that nobody reads.
pub(super) fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 1e6 => format!("{} M", (number / 1e5).round() / 10.0),
        size if size >= 1e4 => format!("{} k", (number / 1e3).round()),
        _ => format!("{}", (number * 1000.0).round() / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let labels =
            |most, about| ticks(most, about, " s").into_iter().map(|tick| tick.1).collect::<Vec<_>>();
        assert_eq!(labels(5.8, 5), ["0 s", "2 s", "4 s"]);
        assert_eq!(labels(0.9, 4), ["0 s", "0.5 s"]);
        assert_eq!(labels(0.0, 4), ["0 s"]);
        assert_eq!(labels(100_000.0, 2), ["0 s", "50 k s", "100 k s"]);
        assert!(ticks(7.0, 3, "").iter().all(|(share, _)| (0.0..=1.0).contains(share)));
    }

    #[test]
    fn the_style_sheet_finds_the_colours() {
        let picture = svg(40, 20, |canvas| {
            line(canvas, vec![(1, 1), (2, 2)], INK, 1)?;
            text(canvas, "<&>", (5, 5), Side::Right, false)
        });
        assert!(picture.contains(&format!("stroke=\"{}\"", notation(INK))), "{picture}");
        assert!(picture.contains(&format!("fill=\"{}\"", notation(INK))), "{picture}");
        assert!(picture.contains("&lt;&amp;&gt;"), "{picture}");
    }
}
