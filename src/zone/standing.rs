//! How far a zone is from its low mark: what the choice of a zone for the fast path depends on.
//!
//! A request is first served by the highest zone that is above its low mark. The fast path cannot
//! check marks, so that it is told which zone's pcplists to use, and told again when a zone crosses
//! its mark. A zone knows from its exact counters, at the end of each lock hold, whether it has
//! crossed one. Mostly that takes no more than to add up by how much the counters have changed
//! since the last evaluation: below the *slack*, the distance to the nearest threshold, nothing can
//! have been crossed.

use crate::base::{Mobility, ZoneKind};
use crate::buddy::Counters;

/// The position of a zone for requests of [`Depth::Normal`] of one mobility and highest zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Standing {
    /// At the low mark: not one page may be taken while another zone has some.
    Low,
    /// Above the low mark, but not by the largest block that pcplists hold.
    Above,
    /// Above the low mark by at least that block: no request for cached blocks would be refused.
    Ample,
}

/// The standings of a zone, by mobility and by the highest zone of a request.
pub(crate) type Standings = [[Standing; ZoneKind::COUNT]; Mobility::COUNT];

/// The standings of a zone without memory.
pub(crate) const NO_STANDING: Standings = [[Standing::Low; ZoneKind::COUNT]; Mobility::COUNT];

/// When the standings of a zone must be evaluated again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Watch {
    /// The counters at the last evaluation.
    seen: [usize; 4],
    /// By less than this their changes add up to if no standing has changed.
    slack: usize,
}

impl Watch {
    /// Evaluates at the end of the next lock hold.
    pub(super) const NEXT: Self = Self { seen: [0; 4], slack: 0 };
    /// Never evaluates: there is no other zone to choose.
    pub(super) const NEVER: Self = Self { seen: [0; 4], slack: usize::MAX };

    /// When changes of the counters add up to `slack`.
    pub(super) fn after(counters: &Counters, slack: usize) -> Self {
        Self { seen: Self::read(counters), slack }
    }

    /// What standings depend on.
    fn read(counters: &Counters) -> [usize; 4] {
        let movable_only = counters.free_movable_only();
        // Movable-only pages are not in the pages above the floor, but in the sum with these.
        [counters.free(), counters.free_cma(), counters.free_atomic(), movable_only.wrapping_mul(2)]
    }

    /// Whether a standing may have changed.
    #[inline]
    pub(super) fn is_due(&self, counters: &Counters) -> bool {
        if self.slack == Self::NEVER.slack {
            return false;
        }
        let changes = Self::read(counters).into_iter().zip(self.seen).map(|(now, seen)| now.abs_diff(seen));
        changes.fold(0, usize::saturating_add) >= self.slack
    }
}
