//! EXPERIMENTAL: other designs of accounting for isolated pages, to compare with the default.
//!
//! The default is the rule of [`counters`](crate::buddy): isolated pages are not free pages, and a
//! block is counted in the lock hold in which it joins or leaves a list. The 2014 discussion
//! considered two other designs. With the feature `designs` a test selects one at run time
//! ([`PageAllocator::set_design`](crate::PageAllocator)). An audit compares the counters with the
//! default rule, so that it shows how wrong a design is while pages are isolated.
//!
//! - **Remembered X.** Pages on isolated lists are counted as free. The isolator subtracts the X
//!   pages that it moved to them, and remembers X. When all N pages of the range are free and
//!   isolated it subtracts the other N − X; when it gives up it adds X again. Pages that are freed
//!   in between are counted although they cannot be allocated: up to N for each isolator. The
//!   discussion bounds N by isolating one largest block at a time. The variant **X and M** also
//!   subtracts the M pages that migration freed.
//! - **Parked.** A pageblock is first *isolating*: its free pages stay on their lists, and pages
//!   that are freed in it are parked: unmerged, and neither free nor allocated. After a drain of
//!   the pcplists its free and its parked pages move to the isolated lists in one lock hold.

#![cfg_attr(
    not(feature = "designs"),
    expect(dead_code, unreachable_pub, reason = "exported with the feature `designs`")
)]

use core::fmt;

/// How isolated pages are accounted for. Experimental; feature `designs`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Design {
    /// Isolated pages are not free pages: a block is recounted in the lock hold that isolates it.
    #[default]
    Default,
    /// Isolated pages are counted as free; the isolator subtracts the pages that it moved.
    RememberedX,
    /// As `RememberedX`, and the isolator also subtracts the pages that migration freed.
    RememberedXAndM,
    /// Pages freed in a pageblock that is being isolated are parked until its free pages move.
    Parked,
}

impl Design {
    /// Every design, the default first.
    pub const ALL: [Self; 4] = [Self::Default, Self::RememberedX, Self::RememberedXAndM, Self::Parked];

    /// The name of the design, in reports and on command lines.
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
