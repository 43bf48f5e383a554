//! The display: the map of memory and the counters, drawn between the steps of jobs.

use core::convert::Infallible;
use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use embedded_graphics::Drawable as _;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyleBuilder;
use embedded_graphics::mono_font::ascii::FONT_9X15;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor as _};
use embedded_graphics::primitives::{Primitive as _, PrimitiveStyle, Rectangle};
use embedded_graphics::text::Text;
use heapless::String;
use pageblock_protocol::map::Kind;
use pageblock_protocol::map::screen::{CELL, HEIGHT, LEFT, TOP, WIDTH, corner, shade};

use crate::arch::display::Framebuffer;
use crate::memory::allocator;
use crate::report::samples;
use crate::scenarios::audit_log;
use crate::scenarios::memory_map::each_cell;
use crate::space::{self, pages};
use crate::sync::Lock;
use crate::{report, time};

/// The time from one picture to the next.
const PERIOD_US: u64 = 250_000;
/// The height of a line of text.
const LINE: u32 = 20;

static SCREEN: Lock<Option<Screen>> = Lock::new(None);
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Has pictures drawn from now on, if there is a display.
pub(super) fn switch_on() {
    match Framebuffer::find(WIDTH, HEIGHT) {
        Some(framebuffer) => {
            let mut screen = Screen(framebuffer);
            screen.begin();
            *SCREEN.lock() = Some(screen);
            IS_ON.store(true, Ordering::Release);
        }
        None => report::note(format_args!("there is no display device to draw on")),
    }
}

/// Draws a picture if one is due. The caller holds no lock.
pub(super) fn draw_if_due() {
    static NEXT_US: AtomicU64 = AtomicU64::new(0);
    if !IS_ON.load(Ordering::Acquire) || time::now_us() < NEXT_US.load(Ordering::Relaxed) {
        return;
    }
    // Of the CPUs that find it due one draws it.
    if let Some(mut screen) = SCREEN.try_lock()
        && let Some(screen) = screen.as_mut()
    {
        samples::spend(|| screen.draw());
        NEXT_US.store(time::now_us() + PERIOD_US, Ordering::Relaxed);
    }
}

struct Screen(Framebuffer);

impl Screen {
    /// Draws what stays.
    fn begin(&mut self) {
        self.fill(0, 0, WIDTH, HEIGHT, [0; 3]);
        self.text(
            LEFT,
            40,
            format_args!("pageblock: the pageblocks of this machine, from low addresses to high ones"),
        );
        let mut x = LEFT;
        for kind in Kind::ALL {
            self.fill(x, 72, 14, 14, kind.colour());
            self.text(x + 18, 84, format_args!("{}", kind.name()));
            x += 34 + 9 * kind.name().len() as u32;
        }
    }

    /// Draws what changes.
    fn draw(&mut self) {
        let mut cells = 0;
        each_cell(|kind, tenths| {
            let (x, y) = corner(cells);
            self.fill(x, y, CELL - 1, CELL - 1, shade(kind, tenths));
            cells += 1;
        });
        let (_, last) = corner(cells.saturating_sub(1));
        let top = last.max(TOP) + CELL + 2 * LINE;
        let audits = audit_log::summary();
        let lines = [
            ("free pages", allocator().free_count() as u64),
            ("free pages of the CMA area", allocator().free_cma_count() as u64),
            ("isolated pages", allocator().isolated_count() as u64),
            ("page allocations", pages::allocations()),
            ("pages migrated", space::pages_migrated()),
            ("exact audits", audits.audits),
            ("missed pages", audits.missed_pages),
        ];
        for (number, (name, value)) in (0..).zip(lines) {
            self.text(LEFT, top + LINE * number, format_args!("{name:<28}{value:>12}"));
        }
    }

    fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, [red, green, blue]: [u8; 3]) {
        let style = PrimitiveStyle::with_fill(Rgb888::new(red, green, blue));
        let area = Rectangle::new(Point::new(x as i32, y as i32), Size::new(width, height));
        let Ok(()) = area.into_styled(style).draw(self);
    }

    /// Draws a line of text on its base line, over what was there.
    fn text(&mut self, x: u32, y: u32, text: core::fmt::Arguments<'_>) {
        let mut line = String::<96>::new();
        // An error means that the text was truncated.
        let _ = line.write_fmt(text);
        let style = MonoTextStyleBuilder::new()
            .font(&FONT_9X15)
            .text_color(Rgb888::WHITE)
            .background_color(Rgb888::BLACK)
            .build();
        let Ok(_) = Text::new(&line, Point::new(x as i32, y as i32), style).draw(self);
    }
}

impl OriginDimensions for Screen {
    fn size(&self) -> Size {
        Size::new(WIDTH, HEIGHT)
    }
}

impl DrawTarget for Screen {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(point, colour) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(point.x), u32::try_from(point.y)) {
                self.0.set(x, y, [colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}
