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

/// The pages of a zone above a floor, for requests of one mobility.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// What such a request may take.
    pages: usize,
    /// By how many pages the memory to which the floor applies is below it.
    missing: usize,
}

impl Position {
    pub(super) fn of(counters: &Counters, floor: usize, mobility: Mobility) -> Self {
        let room = counters.pages_above(floor, mobility, false);
        let below = || floor - counters.pages_above(0, mobility, false).other.min(floor);
        Self { pages: room.pages(), missing: if room.other == 0 { below() } else { 0 } }
    }

    /// The standing, if the largest block that pcplists hold has this many pages.
    pub(super) fn standing(self, largest_cached: usize) -> Standing {
        match self.pages {
            0 => Standing::Low,
            pages if pages < largest_cached => Standing::Above,
            _ => Standing::Ample,
        }
    }

    /// How far the counters may change without a change of the standing.
    pub(super) fn slack(self, largest_cached: usize) -> Slack {
        let slack = |least: usize| match least.checked_sub(self.pages) {
            None | Some(0) => Slack { all: self.pages - least + 1, movable_only: usize::MAX },
            // Pages of movable-only memory count above any floor. Those of other memory count once
            // none are missing.
            Some(wanted) => Slack { all: wanted + self.missing, movable_only: wanted },
        };
        slack(1).and(slack(largest_cached))
    }
}

/// By less than this the counters may change without a change of a standing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slack {
    /// The sum of all changes.
    all: usize,
    /// The change of the free pages of movable-only memory.
    movable_only: usize,
}

impl Slack {
    /// Any change of any counter.
    pub(super) const ENDLESS: Self = Self { all: usize::MAX, movable_only: usize::MAX };

    /// What both allow.
    pub(super) fn and(self, other: Self) -> Self {
        Self { all: self.all.min(other.all), movable_only: self.movable_only.min(other.movable_only) }
    }
}

/// When the standings of a zone must be evaluated again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Watch {
    /// The counters at the last evaluation.
    seen: [usize; 4],
    slack: Slack,
}

impl Watch {
    /// Evaluates at the end of the next lock hold.
    pub(super) const NEXT: Self = Self { seen: [0; 4], slack: Slack { all: 0, movable_only: 0 } };
    /// Never evaluates: there is no other zone to choose.
    pub(super) const NEVER: Self = Self { seen: [0; 4], slack: Slack::ENDLESS };

    /// When the counters have changed by as much.
    pub(super) fn after(counters: &Counters, slack: Slack) -> Self {
        Self { seen: Self::read(counters), slack }
    }

    /// What standings depend on.
    fn read(counters: &Counters) -> [usize; 4] {
        [counters.free(), counters.free_cma(), counters.free_atomic(), counters.free_movable_only()]
    }

    /// Whether a standing may have changed.
    #[inline]
    pub(super) fn is_due(&self, counters: &Counters) -> bool {
        if self.slack.all == Slack::ENDLESS.all {
            return false;
        }
        let [read, seen] = [Self::read(counters), self.seen];
        let [free, cma, atomic, movable_only] = core::array::from_fn(|it| read[it].abs_diff(seen[it]));
        // Movable-only pages are not in the pages above the floor, but in the sum with these.
        let all = [cma, atomic, movable_only, movable_only].into_iter().fold(free, usize::saturating_add);
        all >= self.slack.all || movable_only >= self.slack.movable_only
    }
}

#[cfg(test)]
mod tests {
    use super::{Position, Standing, Watch};
    use crate::base::{FreeKind, MigrateType, Mobility};
    use crate::buddy::{Change, Counters, Pool};

    /// Of a zone with up to three free pages of each kind that a standing depends on.
    fn every_zone() -> impl Iterator<Item = Counters> + Clone {
        let kinds =
            [MigrateType::Movable, MigrateType::Cma, MigrateType::HighAtomic, MigrateType::MovableOnly];
        (0..4_usize.pow(4)).map(move |number| {
            let mut counters = Counters::new();
            for (digit, kind) in kinds.into_iter().enumerate() {
                let pages = number / 4_usize.pow(digit as u32) % 4;
                counters.account(Pool::List(FreeKind::Listed(kind)), Change::Join, pages);
            }
            counters
        })
    }

    /// Every change of the counters from every state, at every floor up to one that no state has
    /// memory for.
    #[test]
    fn no_standing_changes_before_its_evaluation_is_due() {
        const LARGEST: usize = 3;
        for (floor, mobility) in (0..10).flat_map(|floor| Mobility::ALL.map(|mobility| (floor, mobility))) {
            for before in every_zone() {
                let position = Position::of(&before, floor, mobility);
                let (watch, standing) =
                    (Watch::after(&before, position.slack(LARGEST)), position.standing(LARGEST));
                for after in every_zone() {
                    let changed = Position::of(&after, floor, mobility).standing(LARGEST) != standing;
                    assert!(
                        watch.is_due(&after) || !changed,
                        "floor {floor}, {mobility:?}: {before:?} to {after:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_standing_is_ample_from_the_largest_cached_block_on_and_low_without_a_page() {
        let mut counters = Counters::new();
        for (pages, standing) in
            [Standing::Low, Standing::Above, Standing::Above, Standing::Ample].into_iter().enumerate()
        {
            assert_eq!(Position::of(&counters, 5, Mobility::Movable).standing(3), standing, "{pages}");
            let pages = if pages == 0 { 6 } else { 1 };
            counters.account(Pool::List(FreeKind::Listed(MigrateType::Movable)), Change::Join, pages);
        }
    }
}
