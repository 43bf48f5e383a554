//! The refusal to run a scenario on this machine or with these parameters.

use core::fmt;

use pageblock_protocol::{Line, Text};

use crate::report;

/// The scenario cannot run. The reason has been reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused;

/// Reports why the scenario cannot run.
pub(super) fn refuse(why: fmt::Arguments<'_>) -> Refused {
    report::line(Line::Refused(Text::new(why)));
    Refused
}
