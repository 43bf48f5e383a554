//! EXPERIMENTAL: other ways to account for isolated pages, to be measured against the default.
//!
//! The 2014 discussion weighed two designs against the rule of [`counters`](crate::buddy):
//! *isolated pages are not free pages, and whoever moves a page between lists counts it at once*.
//! With the feature `designs` they can be chosen at run time
//! ([`PageAllocator::set_design`](crate::PageAllocator)); an audit measures by the default rule
//! throughout, so that it shows how far each design is off while something is isolated.
//!
//! - **Remembered X.** Pages on isolated lists are counted as free. The isolator subtracts the X
//!   pages that it moved and remembers X; it subtracts the other N − X when the test has found all
//!   N pages, or adds X again when it gives up. Pages freed in between are counted although nobody
//!   can allocate them: up to N pages for each isolator. The discussion bounds N by isolating one
//!   block of the largest order at a time. **X and M** also subtracts the M pages freed by
//!   migration.
//! - **Parked.** A pageblock is first *isolating*: its free pages stay where they are, and pages
//!   freed in it are set aside unmerged, neither free nor allocated. Then the pcplists are drained,
//!   and its free pages and the parked ones go to the isolated lists in one lock hold.

#![cfg_attr(
    not(feature = "designs"),
    expect(dead_code, unreachable_pub, reason = "exported with the feature `designs`")
)]

use core::fmt;

/// How isolated pages are accounted for. Feature `designs`, experimental.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Design {
    /// An isolated page stops being a free page in the lock hold in which it is isolated.
    #[default]
    Default,
    /// Isolated pages are counted as free; the isolator corrects the count by what it moved.
    RememberedX,
    /// As `RememberedX`, and the isolator also corrects the count by what it migrated.
    RememberedXAndM,
    /// Pages freed in a pageblock that is being isolated are parked until its free pages have
    /// moved.
    Parked,
}

impl Design {
    /// Every design, the default first.
    pub const ALL: [Self; 4] = [Self::Default, Self::RememberedX, Self::RememberedXAndM, Self::Parked];

    /// The design's name in tables and on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::RememberedX => "remembered-x",
            Self::RememberedXAndM => "remembered-x-and-m",
            Self::Parked => "parked",
        }
    }

    /// Whether pages on isolated lists are in the free count.
    #[inline(always)]
    pub(crate) const fn counts_isolated(self) -> bool {
        cfg!(feature = "designs") && matches!(self, Self::RememberedX | Self::RememberedXAndM)
    }

    /// Whether pages freed in a pageblock that is being isolated are parked.
    #[inline(always)]
    pub(crate) const fn parks(self) -> bool {
        cfg!(feature = "designs") && matches!(self, Self::Parked)
    }
}

impl fmt::Display for Design {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
