//! The in-kernel test cases: their registry, and what runs them.
//!
//! A case is a function; [`cases!`] puts it into a section of the image under the name of its module.
//! Cases are plain, or explicit: those end badly on purpose and run only when they are named. A case
//! fails by returning a [`Stop`], mostly through [`check`]. If it panics, faults or hangs, so does the
//! kernel; whoever started it then starts it again for the cases that remain.
//!
//! The cases live outside of this crate's folder, in `tests/in_kernel`, with the project's other tests.

use core::fmt;
use core::panic::Location;

use heapless::{String, Vec};
use linkme::distributed_slice;
use pageblock_protocol::{CaseKind, Line, Selection, Text, Verdict};
use spin::Mutex;

use crate::report;

/// Every case in the image, in no order.
#[distributed_slice]
pub(crate) static CASES: [Case];

/// How many cases can be listed in order.
const MAX_CASES: usize = 256;

/// The words to a [`Stop`] are cut off after this many bytes.
const MAX_TEXT: usize = 400;

/// A case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// The path of the function.
    path: &'static str,
    kind: CaseKind,
    run: fn() -> Outcome,
}

impl Case {
    /// The case at that path.
    pub(crate) const fn new(path: &'static str, kind: CaseKind, run: fn() -> Outcome) -> Self {
        Self { path, kind, run }
    }

    /// Its name: the path below the module of all cases.
    fn name(&self) -> &'static str {
        self.path.split_once("::cases::").map_or(self.path, |(_, name)| name)
    }
}

/// Registers functions of this module as cases: `cases!(Plain: first, second);`
macro_rules! cases {
    ($kind:ident: $($name:ident),+ $(,)?) => {
        $(#[expect(unsafe_code, reason = "places a static in a section of its own")]
        const _: () = {
            #[linkme::distributed_slice($crate::testing::CASES)]
            static CASE: $crate::testing::Case = $crate::testing::Case::new(
                concat!(module_path!(), "::", stringify!($name)),
                pageblock_protocol::CaseKind::$kind,
                $name,
            );
        };)+
    };
}
pub(crate) use cases;

/// What became of a case.
pub(crate) type Outcome = Result<(), Stop>;

/// Why a case did not come to its end. The words to it are in [`WORDS`].
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something that had to hold did not: this check.
    Failed(&'static Location<'static>),
    /// It cannot run on this machine.
    Skipped,
}

/// What was found instead, or why it cannot run: of the last [`Stop`]. Not in it, because every case
/// and every step of one returns a `Stop`.
static WORDS: Mutex<String<MAX_TEXT>> = Mutex::new(String::new());

/// Goes on if `holds`, else fails the case with `message`.
#[track_caller]
pub(crate) fn check(holds: bool, message: fmt::Arguments<'_>) -> Outcome {
    if holds { Ok(()) } else { Err(fail(message)) }
}

/// Goes on if both are equal.
#[track_caller]
pub(crate) fn check_eq<T: PartialEq + fmt::Debug>(found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(fail(format_args!("found {found:?}, expected {expected:?}"))) }
}

/// Fails the case with `message`.
#[track_caller]
pub(crate) fn fail(message: fmt::Arguments<'_>) -> Stop {
    keep(message);
    Stop::Failed(Location::caller())
}

/// Leaves the case out for `reason`.
pub(crate) fn skip(reason: fmt::Arguments<'_>) -> Stop {
    keep(reason);
    Stop::Skipped
}

/// An error of what is tested fails the case that did not expect it.
impl<E: core::error::Error> From<E> for Stop {
    #[track_caller]
    fn from(error: E) -> Self {
        fail(format_args!("unexpected error: {error}"))
    }
}

fn keep(words: fmt::Arguments<'_>) {
    struct Cut<'s>(&'s mut String<MAX_TEXT>);
    impl fmt::Write for Cut<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.chars().try_for_each(|c| self.0.push(c).map_err(|_| fmt::Error))
        }
    }
    let mut kept = WORDS.lock();
    kept.clear();
    // An error means that the rest is cut off.
    let _ = fmt::write(&mut Cut(&mut kept), words);
}

/// Says which cases there are.
pub(crate) fn list() -> Verdict {
    for case in sorted() {
        report::line(Line::Case { name: case.name(), kind: case.kind });
    }
    Verdict::Held
}

/// Runs the cases that are selected.
pub(crate) fn run(selection: &Selection<'_>) -> Verdict {
    let cases = sorted().into_iter().filter(|case| selection.selects(case.name(), case.kind));
    report::line(Line::Count(cases.clone().count() as u32));
    cases.map(run_one).fold(Verdict::Held, |all, one| match (all, one) {
        (Verdict::Held, Verdict::Held) => Verdict::Held,
        _ => Verdict::Broken,
    })
}

fn run_one(case: &Case) -> Verdict {
    let name = case.name();
    report::line(Line::Start(name));
    match (case.run)() {
        Ok(()) => {
            report::line(Line::Pass(name));
            Verdict::Held
        }
        Err(Stop::Skipped) => {
            report::line(Line::Skip { name, reason: Text::from(WORDS.lock().as_str()) });
            Verdict::Held
        }
        Err(Stop::Failed(place)) => {
            let (place, words) = (report::place(place), WORDS.lock());
            report::line(Line::Fail { name, place, message: Text::from(words.as_str()) });
            Verdict::Broken
        }
    }
}

/// The cases, by name: the linker's order would change with every build.
fn sorted() -> Vec<&'static Case, MAX_CASES> {
    let mut cases = Vec::new();
    for case in CASES {
        assert!(cases.push(case).is_ok(), "more than {MAX_CASES} cases");
    }
    cases.sort_unstable_by_key(|case| case.name());
    cases
}
