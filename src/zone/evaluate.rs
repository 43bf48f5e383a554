//! The standings of a zone, from its exact counters.

use crate::base::{Depth, Geometry, Mobility, ZoneKind};
use crate::limits::{LARGEST, Mark};
use crate::zone::lock::ZoneInner;
use crate::zone::standing::{Standing, Standings, Watch};

impl<G: Geometry> ZoneInner<G> {
    /// The pages of the largest block that pcplists hold.
    const LARGEST_CACHED: usize = {
        let mut order = LARGEST;
        if G::PAGEBLOCK_ORDER.get() < order.get() {
            order = G::PAGEBLOCK_ORDER;
        }
        if G::MAX_ORDER.get() < order.get() {
            order = G::MAX_ORDER;
        }
        order.pages()
    };

    /// The pages above the low mark for requests of this mobility and highest zone, and if there
    /// are none, how many are missing.
    fn above_low(&self, mobility: Mobility, highest: ZoneKind) -> (usize, usize) {
        let floor = self.floor(mobility, highest, Mark::Low, Depth::Normal);
        let above = |floor| self.buddy.counters().pages_above(floor, mobility, false);
        let room = above(floor);
        let missing = if room.other == 0 { floor - above(0).other.min(floor) } else { 0 };
        (room.pages(), missing)
    }

    /// The standings, by the exact counters, if they are kept up to date.
    pub(crate) fn watched_standings(&self) -> Option<Standings> {
        (self.watch != Watch::NEVER).then(|| self.standings())
    }

    /// The standings, by the exact counters.
    fn standings(&self) -> Standings {
        Mobility::ALL.map(|mobility| {
            ZoneKind::ALL.map(|highest| match self.above_low(mobility, highest).0 {
                0 => Standing::Low,
                pages if pages < Self::LARGEST_CACHED => Standing::Above,
                _ => Standing::Ample,
            })
        })
    }

    /// Evaluates the standings, and when they must be evaluated next.
    #[cold]
    #[inline(never)]
    pub(super) fn evaluate(&mut self) -> Standings {
        let mut slack = usize::MAX;
        for mobility in Mobility::ALL {
            for highest in ZoneKind::ALL {
                let (pages, missing) = self.above_low(mobility, highest);
                for least in [1, Self::LARGEST_CACHED] {
                    let distance = if pages < least { least - pages + missing } else { pages - least + 1 };
                    slack = slack.min(distance);
                }
            }
        }
        self.watch = Watch::after(self.buddy.counters(), slack);
        self.standings()
    }
}
