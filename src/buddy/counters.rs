//! The page counts of a zone, and the functions that change them.
//!
//! The free count of the crate is exact because of this file. A page on a free list is a free page,
//! except that one on an isolated list is not. One on a CMA list is also a free CMA page. Guard
//! pages, pages on pcplists and pages that are being reported to the host are not free pages. Code
//! that moves a block into or out of a list calls [`Counters::account`] in the same lock hold;
//! [`Counters::correct_free`] is for experimental designs only. The fields are private, so that no
//! other function can change a count.
//! *Isolated pages are not counted* is one match arm here, and not an `if` in each caller, which
//! some forgot (Linux has `account_freepages` since v6.10).
//!
//! Two related numbers are not here: pages on pcplists are the lengths of the lists, and `present`
//! is in [`ZoneInner`](crate::zone), where boot, `reserve` and `add_memory` change it.

use crate::base::{FreeKind, MigrateType, Mobility};
use crate::instruments::Design;

/// What the pages of a block are counted as: one that is neither allocated nor on a pcplist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pool {
    /// On the free list of this kind.
    List(FreeKind),
    /// A guard.
    Guard,
    /// Offline.
    Offline,
    /// A bad frame that is retired.
    HwPoison,
    /// Being reported to the host.
    Reporting,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Join,
    Leave,
}

/// Page counts of one zone.
///
/// ```text
/// free        = pages on the lists of every kind but isolated (NR_FREE_PAGES in Linux)
/// free_cma    = of these, on CMA lists                         (NR_FREE_CMA_PAGES)
/// free_atomic = of these, on high-atomic lists                 (nr_free_highatomic)
/// free_movable_only = of these, on movable-only lists
/// isolated    = pages on isolated lists
/// hwpoisoned  = bad frames that are retired                    (num_poisoned_pages)
/// reporting   = pages that are being reported to the host
/// reported    = pages on lists, isolated ones included, that have been reported
/// present     = free + isolated + cached + guard + allocated + offline + hwpoisoned + reporting
/// ```
///
/// The arithmetic wraps, so that a fault that subtracts too much is a negative drift and no panic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counters {
    free: usize,
    free_cma: usize,
    free_atomic: usize,
    free_movable_only: usize,
    isolated: usize,
    guard: usize,
    offline: usize,
    hwpoisoned: usize,
    reporting: usize,
    reported: usize,
    design: Design,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            free: 0,
            free_cma: 0,
            free_atomic: 0,
            free_movable_only: 0,
            isolated: 0,
            guard: 0,
            offline: 0,
            hwpoisoned: 0,
            reporting: 0,
            reported: 0,
            design: Design::Default,
        }
    }

    pub(crate) const fn free(&self) -> usize {
        self.free
    }

    pub(crate) const fn free_cma(&self) -> usize {
        self.free_cma
    }

    pub(crate) const fn free_atomic(&self) -> usize {
        self.free_atomic
    }

    pub(crate) const fn free_movable_only(&self) -> usize {
        self.free_movable_only
    }

    pub(crate) const fn isolated(&self) -> usize {
        self.isolated
    }

    pub(crate) const fn guard(&self) -> usize {
        self.guard
    }

    pub(crate) const fn offline(&self) -> usize {
        self.offline
    }

    pub(crate) const fn hwpoisoned(&self) -> usize {
        self.hwpoisoned
    }

    pub(crate) const fn reporting(&self) -> usize {
        self.reporting
    }

    pub(crate) const fn reported(&self) -> usize {
        self.reported
    }

    pub(crate) const fn design(&self) -> Design {
        self.design
    }

    pub(crate) fn set_design(&mut self, design: Design) {
        self.design = design;
    }

    /// Counts a block of `pages` frames that joins or leaves `pool`.
    #[inline]
    pub(crate) fn account(&mut self, pool: Pool, change: Change, pages: usize) {
        let delta = match change {
            Change::Join => pages,
            Change::Leave => pages.wrapping_neg(),
        };
        let add = |counter: &mut usize| *counter = counter.wrapping_add(delta);
        if let Pool::List(FreeKind::Listed(migratetype)) = pool
            && migratetype.is_ordinary()
        {
            // The common case, after one comparison.
            return add(&mut self.free);
        }
        match pool {
            Pool::List(FreeKind::Isolated) => {
                add(&mut self.isolated);
                if self.design.counts_isolated() {
                    add(&mut self.free);
                }
            }
            Pool::List(FreeKind::Listed(migratetype)) => {
                add(&mut self.free);
                match migratetype {
                    MigrateType::Cma => add(&mut self.free_cma),
                    MigrateType::HighAtomic => add(&mut self.free_atomic),
                    MigrateType::MovableOnly => add(&mut self.free_movable_only),
                    MigrateType::Unmovable | MigrateType::Movable | MigrateType::Reclaimable => {}
                }
            }
            Pool::Guard => add(&mut self.guard),
            Pool::Offline => add(&mut self.offline),
            Pool::HwPoison => add(&mut self.hwpoisoned),
            Pool::Reporting => add(&mut self.reporting),
        }
    }

    /// Counts a block of `pages` frames that joins or leaves a list and is marked as reported. Its
    /// pages are in another count as well, that of the list.
    pub(crate) fn count_reported(&mut self, change: Change, pages: usize) {
        self.reported = match change {
            Change::Join => self.reported.wrapping_add(pages),
            Change::Leave => self.reported.wrapping_sub(pages),
        };
    }

    /// Adds `pages` to the free count, if the design counts isolated pages as free.
    pub(crate) fn correct_free(&mut self, pages: isize) {
        if self.design.counts_isolated() {
            self.free = self.free.wrapping_add_signed(pages);
        }
    }

    /// The pages that a request may take until the zone is at `floor`: the free pages of the lists
    /// that it may use, less the floor (`__zone_watermark_unusable_free` in Linux).
    /// `uses_reserve` says whether it may use the atomic reserve.
    ///
    /// The floor does not apply to movable-only memory: no other request could use what is left of
    /// that.
    pub(crate) fn pages_above(&self, floor: usize, mobility: Mobility, uses_reserve: bool) -> Room {
        let movable = mobility == Mobility::Movable;
        let cma = if movable { 0 } else { self.free_cma };
        let atomic = if uses_reserve { 0 } else { self.free_atomic };
        // Signed, so that the check fails if a fault has driven a counter below zero.
        let other = [self.free_movable_only, cma, atomic, floor]
            .into_iter()
            .fold(self.free.cast_signed(), |room, pages| room.saturating_sub(pages.cast_signed()));
        Room {
            movable_only: if movable { self.free_movable_only } else { 0 },
            other: other.max(0).cast_unsigned(),
        }
    }
}

/// The pages that a request may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Room {
    /// Of movable-only memory; 0 if the request is not movable.
    pub(crate) movable_only: usize,
    /// Of all other memory.
    pub(crate) other: usize,
}

impl Room {
    pub(crate) const fn pages(self) -> usize {
        self.other.saturating_add(self.movable_only)
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Counters, Pool, Room};
    use crate::base::{FreeKind, MigrateType, Mobility};

    fn after(pool: Pool) -> Counters {
        let mut counters = Counters::new();
        counters.account(pool, Change::Join, 8);
        counters
    }

    #[test]
    fn a_page_on_an_ordinary_list_is_a_free_page() {
        for kind in [MigrateType::Unmovable, MigrateType::Movable, MigrateType::Reclaimable] {
            let counters = after(Pool::List(FreeKind::Listed(kind)));
            assert_eq!(counters, Counters { free: 8, ..Counters::new() });
        }
    }

    #[test]
    fn a_page_on_the_isolated_list_is_not_a_free_page() {
        let counters = after(Pool::List(FreeKind::Isolated));
        assert_eq!(counters, Counters { isolated: 8, ..Counters::new() });
    }

    #[test]
    fn a_page_on_a_cma_list_is_free_and_free_cma() {
        let counters = after(Pool::List(FreeKind::Listed(MigrateType::Cma)));
        assert_eq!(counters, Counters { free: 8, free_cma: 8, ..Counters::new() });
    }

    #[test]
    fn a_page_of_the_high_atomic_reserve_is_free_and_free_high_atomic() {
        let counters = after(Pool::List(FreeKind::Listed(MigrateType::HighAtomic)));
        assert_eq!(counters, Counters { free: 8, free_atomic: 8, ..Counters::new() });
    }

    #[test]
    fn a_page_that_is_being_reported_is_not_a_free_page() {
        assert_eq!(after(Pool::Reporting), Counters { reporting: 8, ..Counters::new() });
    }

    #[test]
    fn a_guard_page_is_not_a_free_page() {
        assert_eq!(after(Pool::Guard), Counters { guard: 8, ..Counters::new() });
        assert_eq!(after(Pool::Offline), Counters { offline: 8, ..Counters::new() });
        assert_eq!(after(Pool::HwPoison), Counters { hwpoisoned: 8, ..Counters::new() });
    }

    #[test]
    fn leaving_undoes_joining() {
        for kind in FreeKind::ALL {
            let mut counters = after(Pool::List(kind));
            counters.account(Pool::List(kind), Change::Leave, 8);
            assert_eq!(counters, Counters::new());
        }
    }

    #[test]
    fn the_default_design_ignores_corrections() {
        let mut counters = after(Pool::Guard);
        counters.correct_free(5);
        assert_eq!(counters, after(Pool::Guard));
    }

    #[test]
    fn unmovable_requests_cannot_use_free_cma_pages() {
        let counters = Counters { free: 100, free_cma: 60, ..Counters::new() };
        assert_eq!(counters.pages_above(30, Mobility::Movable, false).pages(), 70);
        assert_eq!(counters.pages_above(30, Mobility::Unmovable, false).pages(), 10);
        assert_eq!(counters.pages_above(50, Mobility::Unmovable, false).pages(), 0);
    }

    #[test]
    fn only_some_requests_can_use_the_high_atomic_reserve() {
        let counters = Counters { free: 100, free_atomic: 60, ..Counters::new() };
        assert_eq!(counters.pages_above(0, Mobility::Movable, false).pages(), 40);
        assert_eq!(counters.pages_above(0, Mobility::Movable, true).pages(), 100);
    }

    #[test]
    fn only_movable_requests_can_use_movable_only_pages_and_the_floor_is_of_the_others() {
        let counters = Counters { free: 100, free_movable_only: 60, ..Counters::new() };
        let room = |floor, mobility| counters.pages_above(floor, mobility, false);
        assert_eq!(room(30, Mobility::Movable), Room { movable_only: 60, other: 10 });
        assert_eq!(room(50, Mobility::Movable), Room { movable_only: 60, other: 0 });
        assert_eq!(room(30, Mobility::Unmovable), Room { movable_only: 0, other: 10 });
        assert_eq!(room(50, Mobility::Reclaimable).pages(), 0);
    }

    #[test]
    fn a_movable_only_page_is_free_and_free_movable_only() {
        let counters = after(Pool::List(FreeKind::Listed(MigrateType::MovableOnly)));
        assert_eq!(counters, Counters { free: 8, free_movable_only: 8, ..Counters::new() });
    }
}
