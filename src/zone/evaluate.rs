//! The standings of a zone, from its exact counters.

use crate::base::{Depth, Geometry, Mobility, ZoneKind};
use crate::limits::{LARGEST, Mark};
use crate::zone::lock::ZoneInner;
use crate::zone::standing::{Position, Slack, Standings, Watch};

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

    /// The positions of the zone, by mobility and by the highest zone of a request.
    fn positions(&self) -> [[Position; ZoneKind::COUNT]; Mobility::COUNT] {
        Mobility::ALL.map(|mobility| {
            ZoneKind::ALL.map(|highest| {
                let floor = self.floor(mobility, highest, Mark::Low, Depth::Normal);
                Position::of(self.buddy.counters(), floor, mobility)
            })
        })
    }

    fn standings(positions: [[Position; ZoneKind::COUNT]; Mobility::COUNT]) -> Standings {
        positions.map(|of_one| of_one.map(|position| position.standing(Self::LARGEST_CACHED)))
    }

    /// The standings, by the exact counters, if they are kept up to date.
    pub(crate) fn watched_standings(&self) -> Option<Standings> {
        (self.watch != Watch::NEVER).then(|| Self::standings(self.positions()))
    }

    /// Evaluates the standings, and when they must be evaluated next.
    #[cold]
    #[inline(never)]
    pub(super) fn evaluate(&mut self) -> Standings {
        let positions = self.positions();
        let slacks = positions.as_flattened().iter().map(|position| position.slack(Self::LARGEST_CACHED));
        self.watch = Watch::after(self.buddy.counters(), slacks.fold(Slack::ENDLESS, Slack::and));
        Self::standings(positions)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::base::{AllocRequest, ZoneKind};
    use crate::inspect::Violation;
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine_with};
    use crate::zone::standing::{Slack, Watch};

    #[test]
    fn verify_finds_a_zone_that_has_crossed_its_low_mark_without_an_evaluation() {
        let memory = [3 << 30..(3 << 30) + (8 << 20), 4 << 30..(4 << 30) + (8 << 20)];
        let machine = machine_with(Bare, &memory, Tuning::default());
        machine.in_zone(&machine.zones()[ZoneKind::Normal.index()], |inner| {
            inner.watch = Watch::after(inner.buddy.counters(), Slack::ENDLESS);
        });
        machine.verify().unwrap();
        while machine.alloc_pages(AllocRequest::movable()).is_ok() {}
        assert_eq!(machine.verify(), Err(Violation::ZoneChoice { zone: ZoneKind::Normal }));
    }
}
