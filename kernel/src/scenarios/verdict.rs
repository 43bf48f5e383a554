//! How a scenario ends: with a verdict about the invariants, or with a refusal to run.

use core::fmt;

use pageblock_protocol::{Line, Text, Verdict};

use crate::memory::allocator;
use crate::report;
use crate::space::contents;

/// The scenario cannot run on this machine or with these parameters. The reason has been reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused;

/// Reports why the scenario cannot run.
pub(super) fn refuse(why: fmt::Arguments<'_>) -> Refused {
    report::line(Line::Refused(Text::new(why)));
    Refused
}

/// Checks what must hold at the end of a run, reports what does not, and forms the verdict.
pub(super) struct Judge(Verdict);

impl Judge {
    pub(super) const fn new() -> Self {
        Self(Verdict::Held)
    }

    /// Reports that something does not hold.
    pub(super) fn broken(&mut self, text: fmt::Arguments<'_>) {
        report::line(Line::Broken(Text::new(text)));
        report::events::report(report::line);
        self.0 = Verdict::Broken;
    }

    /// Checks that no page had wrong contents, and that all invariants of the allocator hold.
    pub(super) fn check_memory(&mut self) {
        if contents::corrupted() != 0 {
            self.broken(format_args!("{} pages with wrong contents", contents::corrupted()));
        }
        if let Err(violation) = allocator().verify() {
            self.broken(format_args!("verify: {violation}"));
        }
    }

    /// Checks that as many pages are free as before the run.
    pub(super) fn check_free_count(&mut self, before: usize) {
        let after = allocator().free_count();
        if after != before {
            self.broken(format_args!("{before} pages were free before, {after} are free after"));
        }
    }

    /// Whether something does not hold.
    pub(super) fn is_broken(&self) -> bool {
        self.0 == Verdict::Broken
    }

    pub(super) const fn verdict(self) -> Verdict {
        self.0
    }
}
