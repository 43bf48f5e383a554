//! The registry and the runner of the in-kernel test cases.
//!
//! A case is a function, which [`cases!`] registers in a section of the image, under the path of
//! its module. Explicit cases end badly on purpose and run only if they are named; all others are
//! plain. A case fails by returning a [`Stop`], mostly through [`check`]. A case that panics,
//! faults or hangs ends the kernel, and the launcher then boots it again for the remaining cases.
//!
//! The cases are in `tests/in_kernel`, with the project's other tests.

use core::fmt;
use core::panic::Location;

use heapless::{String, Vec};
use linkme::distributed_slice;
use pageblock_protocol::{CaseKind, Line, Selection, Text, Verdict};
use spin::Mutex;

use crate::report;

/// All cases of the image, in no particular order.
#[distributed_slice]
pub(crate) static CASES: [Case];

/// The most cases that can be sorted.
const MAX_CASES: usize = 256;

/// Longer messages of a [`Stop`] are truncated to this many bytes.
const MAX_TEXT: usize = 400;

/// A test case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// The path of the function.
    path: &'static str,
    kind: CaseKind,
    run: fn() -> Outcome,
}

impl Case {
    /// The case whose function has that path.
    pub(crate) const fn new(path: &'static str, kind: CaseKind, run: fn() -> Outcome) -> Self {
        Self { path, kind, run }
    }

    /// The name of the case: the path of its function below the module of all cases.
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

/// The result of a case.
pub(crate) type Outcome = Result<(), Stop>;

/// Why a case ended early. Its message is in [`MESSAGE`].
#[derive(Debug)]
pub(crate) enum Stop {
    /// The check at this location failed.
    Failed(&'static Location<'static>),
    /// The case cannot run on this machine.
    Skipped,
}

/// The message of the last [`Stop`]. It is not in `Stop`, which every step of a case returns.
static MESSAGE: Mutex<String<MAX_TEXT>> = Mutex::new(String::new());

/// Fails the case with `message` unless `holds`.
#[track_caller]
pub(crate) fn check(holds: bool, message: fmt::Arguments<'_>) -> Outcome {
    if holds { Ok(()) } else { Err(fail(message)) }
}

/// Fails the case unless both values are equal.
#[track_caller]
pub(crate) fn check_eq<T: PartialEq + fmt::Debug>(found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(fail(format_args!("found {found:?}, expected {expected:?}"))) }
}

/// Fails the case with `message`.
#[track_caller]
pub(crate) fn fail(message: fmt::Arguments<'_>) -> Stop {
    store(message);
    Stop::Failed(Location::caller())
}

/// Skips the case for `reason`.
pub(crate) fn skip(reason: fmt::Arguments<'_>) -> Stop {
    store(reason);
    Stop::Skipped
}

/// An unexpected error of the tested code fails the case.
impl<E: core::error::Error> From<E> for Stop {
    #[track_caller]
    fn from(error: E) -> Self {
        fail(format_args!("unexpected error: {error}"))
    }
}

fn store(message: fmt::Arguments<'_>) {
    struct Truncate<'s>(&'s mut String<MAX_TEXT>);
    impl fmt::Write for Truncate<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.chars().try_for_each(|c| self.0.push(c).map_err(|_| fmt::Error))
        }
    }
    let mut stored = MESSAGE.lock();
    stored.clear();
    // An error means that the message was truncated.
    let _ = fmt::write(&mut Truncate(&mut stored), message);
}

/// Reports the names of all cases.
pub(crate) fn list() -> Verdict {
    for case in sorted() {
        report::line(Line::Case { name: case.name(), kind: case.kind });
    }
    Verdict::Held
}

/// Runs the selected cases.
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
            report::line(Line::Skip { name, reason: Text::from(MESSAGE.lock().as_str()) });
            Verdict::Held
        }
        Err(Stop::Failed(place)) => {
            let (place, message) = (report::place(place), MESSAGE.lock());
            report::line(Line::Fail { name, place, message: Text::from(message.as_str()) });
            Verdict::Broken
        }
    }
}

/// The cases, sorted by name, because the order in the image may change with every build.
fn sorted() -> Vec<&'static Case, MAX_CASES> {
    let mut cases = Vec::new();
    for case in CASES {
        assert!(cases.push(case).is_ok(), "more than {MAX_CASES} cases");
    }
    cases.sort_unstable_by_key(|case| case.name());
    cases
}
