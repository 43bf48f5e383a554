//! Properties of the public types: traits of errors and handles, and how much is logged.

use std::cell::Cell;
use std::collections::HashSet;
use std::error::Error;
use std::fmt::Debug;
use std::sync::Mutex;

use pageblock::{
    AllocError, AllocRequest, CmaArea, CmaError, ContigError, ContigRange, ExactPages, FrameKind, FreeError,
    HandOverError, HotplugError, InitError, IsolateError, IsolatedRange, MapFull, MemoryMap, Metadata,
    MigrateError, NotFree, Obstacle, Order, PageAllocator, Pages, Pfn, PfnRange, RangeError, Veto, Violation,
    X86_64, ZoneKind,
};

use crate::support::{self, Threads, mebibytes};

fn is_error<E: Error + Clone + PartialEq + Send + Sync + 'static>() {}
fn is_shared<T: Debug + Send + Sync>() {}

#[test]
fn every_error_is_an_error() {
    is_error::<AllocError>();
    is_error::<CmaError>();
    is_error::<ContigError>();
    is_error::<FreeError>();
    is_error::<HandOverError>();
    is_error::<HotplugError>();
    is_error::<InitError>();
    is_error::<IsolateError>();
    is_error::<MapFull>();
    is_error::<MigrateError>();
    is_error::<NotFree>();
    is_error::<RangeError>();
    is_error::<Veto>();
    is_error::<Violation>();
}

/// The numbers in a text, decimal or after `0x`.
fn numbers(text: &str) -> HashSet<u64> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let number = |word: &str| match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    };
    words.filter_map(number).collect()
}

#[test]
fn the_text_of_an_error_has_every_value_in_it() {
    let (pfn, below, range) =
        (Pfn::new(0x4321), Pfn::new(0x8765), PfnRange::with_len(Pfn::new(0x5000), 0x77));
    let [order, max] = [7, 10].map(Order::new);
    let (pages, longest) = (1234, 567);
    let errors: &[&dyn Error] = &[
        &CmaError::Unaligned { range, pageblock: order },
        &CmaError::AlignTooLarge { align: order, max },
        &CmaError::BadAlignment { bytes: 48 },
        &CmaError::BeyondLimit { pages, area: range, below },
        &CmaError::FullBelow { pages, below },
        &CmaError::MovableOnly { pfn },
        &CmaError::Taken { pfn },
        &CmaError::NoRoom { pages, longest },
        &CmaError::BitmapTooSmall { given: 11, needed: 22 },
        &CmaError::OtherAllocator { area: range },
        &CmaError::Full { pages, longest },
        &CmaError::NotOurs { range },
        &CmaError::Free(FreeError::DoubleFree { pfn }),
        &CmaError::Busy(ContigError::NoPlace { pages }),
        &ContigError::AlignTooLarge { align: order, max },
        &ContigError::BadAlignment { bytes: 48 },
        &ContigError::MovableOnly { pfn },
        &ContigError::BelowMark { zone: ZoneKind::Normal, left: 345, floor: 678 },
        &ContigError::Busy { pfn, reason: Obstacle::Moving, attempts: 5 },
        &FreeError::OrderTooLarge { order, max },
        &FreeError::Unaligned { pfn, order },
        &FreeError::Foreign { pfn },
        &FreeError::WrongOrder { pfn, given: order, allocated: max },
        &HotplugError::Unaligned { range, pageblock: order },
        &HotplugError::Vetoed { range },
        &HotplugError::NotOffline { pfn, kind: FrameKind::Free },
        &InitError::MetadataTooSmall { given: 11, needed: 22 },
        &InitError::TooManyCpus { given: 99_999, limit: 65_536 },
        &InitError::Unsorted { index: 3 },
        &InitError::Overlap { index: 3 },
        &RangeError::Empty { range },
        &RangeError::CrossesZones { range, border: below },
        &RangeError::NotManaged { pfn, kind: FrameKind::Offline },
    ];
    for error in errors {
        let (values, text) = (format!("{error:?}"), error.to_string());
        assert!(numbers(&text).is_superset(&numbers(&values)), "{values}: {text}");
    }
}

#[test]
fn everything_can_be_shared_and_shown() {
    is_shared::<PageAllocator<'static, Threads>>();
    is_shared::<Pages<'static, 'static, Threads, X86_64>>();
    is_shared::<ExactPages<'static, 'static, Threads, X86_64>>();
    is_shared::<ContigRange<'static, 'static, Threads, X86_64>>();
    is_shared::<IsolatedRange<'static, 'static, Threads, X86_64>>();
    is_shared::<CmaArea<'static>>();
    is_shared::<MemoryMap>();
    is_shared::<Metadata<'static>>();
}

thread_local! {
    /// Whether this thread's records are kept: the logger hears all tests of the process.
    static KEPT: Cell<bool> = const { Cell::new(false) };
}

/// A logger that keeps the records of the threads that want it.
struct Kept(Mutex<Vec<(log::Level, String)>>);

impl log::Log for Kept {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        KEPT.get()
    }

    fn log(&self, record: &log::Record<'_>) {
        if KEPT.get() {
            self.0.lock().unwrap().push((record.level(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

static LOG: Kept = Kept(Mutex::new(Vec::new()));

#[test]
fn the_log_hears_of_slow_paths_and_seldom() {
    KEPT.set(true);
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let machine = mebibytes(16).build();

    // Good weather: silence.
    let pages: Vec<Pfn> = support::fill(&machine, AllocRequest::unmovable());
    let heard = |level| LOG.0.lock().unwrap().iter().filter(|line| line.0 == level).count();
    assert_eq!(heard(log::Level::Warn), 1, "the request that ended the filling");

    // A thousand failures: ten lines, each with its number.
    for _ in 1..1000 {
        machine.alloc_pages(AllocRequest::unmovable()).unwrap_err();
    }
    assert_eq!(heard(log::Level::Warn), 10);

    // A handle whose block someone else has freed.
    let stolen = machine.alloc(AllocRequest::unmovable().depth(pageblock::Depth::Emergency)).unwrap();
    machine.free_pages(stolen.pfn(), Order::ZERO).unwrap();
    drop(stolen);
    assert_eq!(heard(log::Level::Error), 1);

    for pfn in pages {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    KEPT.set(false);
    let lines = LOG.0.lock().unwrap();
    assert_eq!(lines.len(), 11, "{lines:?}");
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), 11, "each has a number of its own: {lines:?}");
    assert!(lines[0].1.contains("no unmovable block of order 0"), "{}", lines[0].1);
}
