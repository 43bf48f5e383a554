//! One panel of the plot: a scale, and one line of dots for each workload.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontStyle, IntoFont as _, RGBColor, ShapeStyle, TextStyle};

use crate::peer::PeerId;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(222, 222, 222);
const FONT: &str = "sans-serif";

/// The colour of an allocator, from the palette of Okabe and Ito for colour-blind readers.
const fn colour(peer: PeerId) -> RGBColor {
    match peer {
        PeerId::Ours | PeerId::OursDefault => RGBColor(213, 94, 0),
        PeerId::Summary => RGBColor(86, 180, 233),
        PeerId::Depot => RGBColor(0, 114, 178),
        PeerId::BuddySlab => RGBColor(0, 158, 115),
        PeerId::BuddySystem => RGBColor(204, 121, 167),
        PeerId::FreeList => RGBColor(230, 159, 0),
        PeerId::Branch => RGBColor(0, 0, 0),
        PeerId::Floor | PeerId::Null => RGBColor(130, 130, 130),
    }
}

/// The size of a dot. Those of pageblock are larger.
const fn radius(peer: PeerId) -> i32 {
    match peer {
        PeerId::Ours | PeerId::OursDefault => 9,
        _ => 5,
    }
}

/// The style of a dot. The lower bound, and pageblock in its default mode, are rings.
fn style(peer: PeerId) -> ShapeStyle {
    match peer {
        PeerId::Floor | PeerId::OursDefault => colour(peer).stroke_width(2),
        _ => colour(peer).filled(),
    }
}

/// Below this many pixels a decade has one figure.
const NARROW_DECADE: f64 = 100.0;

/// The mapping from figures to positions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scale {
    Linear { from: f64, to: f64 },
    Logarithmic { from: f64, to: f64 },
}

impl Scale {
    /// The position of a figure: 0 at the left end, 1 at the right end.
    fn place(self, figure: f64) -> f64 {
        match self {
            Self::Linear { from, to } => (figure - from) / (to - from),
            Self::Logarithmic { from, to } => (figure / from).log10() / (to / from).log10(),
        }
    }

    /// The figures of the axis, which is so many pixels wide.
    fn ticks(self, width: i32) -> Vec<f64> {
        match self {
            Self::Linear { from, to } => (0..=4).map(|n| from + (to - from) * f64::from(n) / 4.0).collect(),
            Self::Logarithmic { from, to } => {
                let decade = f64::from(width) / (to / from).log10();
                let multiples = if decade < NARROW_DECADE { &[1.0][..] } else { &[1.0, 2.0, 5.0] };
                let decades = (0..6).flat_map(|n| multiples.iter().map(move |m| m * 10_f64.powi(n)));
                decades.filter(|tick| (from..=to).contains(tick)).collect()
            }
        }
    }
}

/// The dots of one workload.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) dots: Vec<(PeerId, f64)>,
}

/// One panel of the plot.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) scale: Scale,
    pub(crate) lines: Vec<Line>,
}

/// The position of a panel, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) left: i32,
    pub(crate) top: i32,
    pub(crate) width: i32,
    pub(crate) naming: Naming,
    /// The distance from one line to the next.
    pub(crate) line: i32,
}

/// The text on the left of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Naming {
    /// The description of the workload.
    Full,
    /// Only its key, if the panel on the left has the description.
    Short,
}

impl Naming {
    const fn width(self) -> i32 {
        match self {
            Self::Full => 244,
            Self::Short => 52,
        }
    }
}

/// The space for figures beyond the right end.
const BEYOND: i32 = 62;
/// The distance between two of them on one line.
const BEYOND_LINE: i32 = 11;

impl Panel {
    pub(crate) fn shows(&self, peer: PeerId) -> bool {
        self.lines.iter().any(|line| line.dots.iter().any(|dot| dot.0 == peer))
    }

    pub(crate) fn draw(&self, canvas: &Canvas<'_>, at: Place) -> Drawn {
        let (from, to) = (at.left + at.naming.width(), at.left + at.width - BEYOND);
        let x = |figure| from + (self.scale.place(figure) * f64::from(to - from)).round() as i32;
        let top = at.top + 34;
        let bottom = top + at.line * self.lines.len() as i32;
        text(canvas, self.title, (from, at.top + 12), 16, HPos::Left, FontStyle::Bold)?;
        for tick in self.scale.ticks(to - from) {
            canvas.draw(&PathElement::new([(x(tick), top), (x(tick), bottom)], GRID))?;
            text(canvas, &short(tick), (x(tick), bottom + 12), 12, HPos::Center, FontStyle::Normal)?;
        }
        for (number, line) in self.lines.iter().enumerate() {
            let y = top + at.line * number as i32 + at.line / 2;
            let name = match at.naming {
                Naming::Full => format!("{} ({})", line.title, line.key),
                Naming::Short => line.key.to_owned(),
            };
            text(canvas, &name, (from - 12, y), 13, HPos::Right, FontStyle::Normal)?;
            canvas.draw(&PathElement::new([(from, y), (to, y)], GRID))?;
            let (beyond, shown): (Vec<_>, Vec<_>) =
                line.dots.iter().partition(|(_, figure)| self.scale.place(*figure) > 1.0);
            // The dots of pageblock come first and are larger, so that no other dot hides them.
            for (peer, figure) in shown {
                let x = x(figure).max(from);
                canvas.draw(&Circle::new((x, y), radius(peer), style(peer)))?;
            }
            for (number, &(peer, figure)) in beyond.iter().enumerate() {
                let y = y + (2 * number as i32 + 1 - beyond.len() as i32) * BEYOND_LINE / 2;
                let tip = [(to + 2, y - 4), (to + 10, y), (to + 2, y + 4)];
                canvas.draw(&Polygon::new(tip, style(peer)))?;
                text(canvas, &short(figure), (to + 14, y), 11, HPos::Left, FontStyle::Normal)?;
            }
        }
        Ok(())
    }
}

/// Draws what the colours mean, in lines of at most `width` pixels.
pub(crate) fn legend(canvas: &Canvas<'_>, peers: &[PeerId], width: i32) -> Drawn {
    let (mut x, mut y) = (40, 24);
    for &peer in peers {
        let name = match peer {
            PeerId::Depot => "frame-alloc with Depot",
            PeerId::BuddySlab => "buddy-slab-allocator",
            PeerId::BuddySystem => "buddy_system_allocator",
            PeerId::Branch => "branch_allocator",
            PeerId::Floor => "floor: an array, no lock",
            _ => peer.title(),
        };
        let length = 44 + name.len() as i32 * 7;
        if x + length > width {
            (x, y) = (40, y + 24);
        }
        canvas.draw(&Circle::new((x, y), radius(peer), style(peer)))?;
        text(canvas, name, (x + 14, y), 14, HPos::Left, FontStyle::Normal)?;
        x += length;
    }
    Ok(())
}

fn text(canvas: &Canvas<'_>, what: &str, at: (i32, i32), size: i32, side: HPos, weight: FontStyle) -> Drawn {
    let style =
        TextStyle::from((FONT, size).into_font().style(weight)).color(&INK).pos(Pos::new(side, VPos::Center));
    canvas.draw(&Text::new(what.to_owned(), at, style))?;
    Ok(())
}

/// A figure in few characters.
fn short(figure: f64) -> String {
    match figure {
        1_000_000.0.. => format!("{:.1} M", figure / 1e6),
        10_000.0.. => format!("{:.0} k", figure / 1e3),
        1000.0.. => format!("{} k", (figure / 100.0).round() / 10.0),
        100.0.. => format!("{figure:.0}"),
        _ if figure.fract() == 0.0 => format!("{figure:.0}"),
        _ => format!("{figure:.2}"),
    }
}
