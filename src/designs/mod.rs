//! EXPERIMENTAL: other ways to account for isolated pages, to be measured against ours.
//!
//! The 2014 discussion weighed two designs against *isolated pages are not free pages, and whoever moves a page between lists
//! counts it there and then*, which is [`counters`](crate::counters). With the `designs` feature they can be chosen at run time
//! ([`PageAllocator::set_design`](crate::PageAllocator::set_design)); an audit goes on measuring by our rule, so that it shows how far
//! each of them is off while something is isolated.
//!
//! **Remembered X.** Pages on isolated lists are counted as free like any others. The isolator subtracts the X pages that
//! it moved, remembers X, subtracts the other N − X when the test has found all N pages, or adds X again when it gives up. Every page
//! freed in between is counted although nobody can have it: up to N pages for each isolator. The discussion bounds N by
//! isolating one block of the largest order at a time. **X and M** subtracts the M pages freed by migration as well, when they
//! are migrated.
//!
//! **Parked.** A pageblock is first *isolating*: its free pages stay where they are, pages freed in it are put aside unmerged, neither
//! free nor allocated. Then the pcplists are drained, and then its free pages and the ones put aside go to the
//! isolated lists in one lock hold.
//!
//! Without the feature [`Rule`], [`Ledger`] and [`Parking`] are empty, and none of it leaves code behind. Files:
//! [`ledger`] (what an isolator does), `buddy::designs` (what the buddy system does), [`off`]. Neighbours:
//! [`isolate`](crate::isolate), whose steps these hook into.

#[cfg(feature = "designs")]
mod ledger;
#[cfg(not(feature = "designs"))]
mod off;

#[cfg(feature = "designs")]
pub(crate) use self::{
    Design as Rule,
    ledger::{Ledger, parks},
};
#[cfg(feature = "designs")]
pub use ledger::InUse;
#[cfg(not(feature = "designs"))]
pub(crate) use off::{Ledger, Parking, Rule, parks};

/// How isolated pages are accounted for. Feature `designs`, experimental.
#[cfg(feature = "designs")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Design {
    /// This crate's: an isolated page is not a free page from the lock hold on in which it is isolated.
    #[default]
    Default,
    /// Isolated pages are counted as free; the isolator corrects the count by what it remembers to have moved.
    RememberedX,
    /// As before, and the isolator corrects the count by what it has migrated as well.
    RememberedXAndM,
    /// Pages freed in a block that is being isolated are parked until its free pages have been moved.
    Parked,
}

#[cfg(feature = "designs")]
impl Design {
    /// Every design, ours first.
    pub const ALL: [Self; 4] = [Self::Default, Self::RememberedX, Self::RememberedXAndM, Self::Parked];

    /// The word for it in tables.
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
    pub(crate) const fn counts_isolated(self) -> bool {
        matches!(self, Self::RememberedX | Self::RememberedXAndM)
    }
}

#[cfg(feature = "designs")]
impl core::fmt::Display for Design {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}
