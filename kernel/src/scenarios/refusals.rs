//! The frames that were in the way of a request, and why.

use core::fmt::{self, Write};

use heapless::{String, Vec};
use pageblock::Pfn;
use pageblock_protocol::{Value, stat};

use crate::report;

/// The refusals that are kept.
const KEPT: usize = 64;

/// A short text without spaces, for a field of a row.
type Word = String<100>;

/// The refusals of a run.
#[derive(Default)]
pub(super) struct Refusals {
    /// All of them, also those that are not kept.
    all: u64,
    /// No frame twice with one reason.
    first: Vec<(Pfn, Word), KEPT>,
}

impl Refusals {
    /// Records that a request was refused because of that frame.
    pub(super) fn add(&mut self, pfn: Pfn, reason: impl fmt::Display) {
        self.all += 1;
        let mut long = String::<200>::new();
        // An error means that the text was truncated.
        let _ = write!(long, "{reason}");
        let word = long.chars().map(|c| if c == ' ' { '_' } else { c }).take(Word::new().capacity());
        let refusal = (pfn, word.collect());
        if !self.first.contains(&refusal) {
            // The first ones are enough.
            let _ = self.first.push(refusal);
        }
    }

    /// How many there were.
    pub(super) fn all(&self) -> u64 {
        self.all
    }

    /// Reports a row for each that is kept.
    pub(super) fn report(&self) {
        for (pfn, reason) in &self.first {
            let mut name = String::<20>::new();
            // There is room for every number.
            let _ = write!(name, "{}", pfn.number());
            report::row(&name, [(stat::REASON, Value::Word(reason))]);
        }
    }
}
