//! The results of the resizes.

use core::fmt::{self, Write};

use heapless::{String, Vec};
use pageblock::Pfn;
use pageblock_protocol::Value;

use crate::report;
use crate::scenarios::latency::Latency;
use crate::scenarios::plug::failed::Failed;

/// The refusals that are kept.
const KEPT: usize = 64;

/// A short text without spaces, for a field of a row.
type Word = String<100>;

/// The results of the resizes.
#[derive(Default)]
pub(super) struct Outcome {
    /// Changes of the requested size that the guest has followed.
    pub(super) resizes: u32,
    /// Of these, those after which another size was plugged than was requested.
    pub(super) short_resizes: u32,
    pub(super) blocks_plugged: u32,
    pub(super) blocks_unplugged: u32,
    pub(super) dimms_inserted: u32,
    pub(super) dimms_removed: u32,
    /// The most blocks that were plugged.
    pub(super) most: usize,
    /// All refusals, also those that are not kept.
    pub(super) refused: u32,
    /// The time that it took to unplug a block.
    pub(super) latency: Latency,
    /// Whether the page that was pinned on purpose was named; `None` if none was pinned.
    pub(super) pin_was_named: Option<bool>,
    /// What did not hold.
    pub(super) violations: Vec<String<200>, 4>,
    refusals: Vec<(Pfn, Word), KEPT>,
}

impl Outcome {
    /// Records that a block was not plugged, or not unplugged.
    pub(super) fn refuse(&mut self, failed: &Failed) {
        self.refused += 1;
        let mut long = String::<200>::new();
        // An error means that the text was truncated.
        let _ = write!(long, "{failed}");
        let word = long.chars().map(|c| if c == ' ' { '_' } else { c }).take(Word::new().capacity());
        // The first ones are enough.
        let _ = self.refusals.push((failed.pfn(), word.collect()));
    }

    /// Records that something did not hold.
    pub(super) fn broken(&mut self, text: fmt::Arguments<'_>) {
        let mut kept = String::new();
        // An error means that the text was truncated.
        let _ = fmt::write(&mut kept, format_args!("resize {}: {text}", self.resizes));
        // The first few are enough.
        let _ = self.violations.push(kept);
    }

    /// Reports a row for each refusal.
    pub(super) fn report_refusals(&self) {
        for (pfn, reason) in &self.refusals {
            let mut name = String::<20>::new();
            // There is room for every number.
            let _ = write!(name, "{}", pfn.number());
            report::row(&name, [("reason", Value::Word(reason))]);
        }
    }
}
