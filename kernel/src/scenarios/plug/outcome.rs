//! The results of the resizes.

use core::fmt;

use heapless::{String, Vec};

use crate::scenarios::latency::Latency;
use crate::scenarios::refusals::Refusals;

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
    /// DIMMs that the host has asked for, and that stayed.
    pub(super) dimms_refused: u32,
    /// The most blocks that were plugged.
    pub(super) most: usize,
    /// The blocks that were not plugged, or not unplugged.
    pub(super) refusals: Refusals,
    /// The time that it took to unplug a block.
    pub(super) latency: Latency,
    /// Whether the page that was pinned on purpose was named; `None` if none was pinned.
    pub(super) pin_was_named: Option<bool>,
    /// What did not hold.
    pub(super) violations: Vec<String<200>, 4>,
}

impl Outcome {
    /// Records that something did not hold.
    pub(super) fn broken(&mut self, text: fmt::Arguments<'_>) {
        let mut kept = String::new();
        // An error means that the text was truncated.
        let _ = fmt::write(&mut kept, format_args!("resize {}: {text}", self.resizes));
        // The first few are enough.
        let _ = self.violations.push(kept);
    }
}
