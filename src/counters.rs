//! The counters of a zone, and the one function that writes them.
//!
//! The promise of the crate stands here. A page on a buddy list is a free page; a page on an isolated
//! list is not; a page on a CMA list is a free page and also a free CMA page; a guard page is not a
//! free page, nor is one cached on a pcplist. [`Counters::account`] is called where a block joins or
//! leaves a list ([`buddy`](crate::buddy)) and nowhere else, so *isolated pages are not counted* is a
//! match arm here and not an `if` that each caller can forget (`account_freepages`, Linux v6.10,
//! after ten years of the other way).

use crate::designs::Rule;
use crate::migratetype::{FreeKind, MigrateType};

/// Where a block's pages are held that nobody owns and no pcplist caches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pool {
    /// On the buddy list of this kind.
    List(FreeKind),
    /// Kept as a guard.
    Guard,
    /// Taken offline.
    Offline,
}

/// Whether a block joins or leaves.
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
/// isolated    = pages on isolated lists
/// present     = free + isolated + cached + guard + allocated + offline
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) free: usize,
    pub(crate) free_cma: usize,
    pub(crate) free_atomic: usize,
    pub(crate) isolated: usize,
    pub(crate) guard: usize,
    pub(crate) offline: usize,
    /// Ours, and nothing else without the `designs` feature.
    pub(crate) rule: Rule,
}

impl Counters {
    /// A block of `pages` frames joins or leaves `pool`: the only writer of the counters.
    #[inline]
    pub(crate) fn account(&mut self, pool: Pool, change: Change, pages: usize) {
        // Two's complement: subtracting is adding the negation, so that a fault that takes off too
        // much shows as a negative drift instead of a panic in the middle of a kernel.
        let delta = match change {
            Change::Join => pages,
            Change::Leave => pages.wrapping_neg(),
        };
        let add = |counter: &mut usize| *counter = counter.wrapping_add(delta);
        if let Pool::List(FreeKind::Listed(migratetype)) = pool
            && migratetype.is_ordinary()
        {
            // Nearly always: one comparison.
            return add(&mut self.free);
        }
        match pool {
            Pool::List(FreeKind::Isolated) => {
                add(&mut self.isolated);
                if self.rule.counts_isolated() {
                    add(&mut self.free);
                }
            }
            Pool::List(FreeKind::Listed(migratetype)) => {
                add(&mut self.free);
                match migratetype {
                    MigrateType::Cma => add(&mut self.free_cma),
                    MigrateType::HighAtomic => add(&mut self.free_atomic),
                    MigrateType::Unmovable | MigrateType::Movable | MigrateType::Reclaimable => {}
                }
            }
            Pool::Guard => add(&mut self.guard),
            Pool::Offline => add(&mut self.offline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Counters, Pool};
    use crate::migratetype::{FreeKind, MigrateType};

    fn after(pool: Pool) -> Counters {
        let mut counters = Counters::default();
        counters.account(pool, Change::Join, 8);
        counters
    }

    #[test]
    fn a_page_on_an_ordinary_list_is_a_free_page() {
        for kind in [MigrateType::Unmovable, MigrateType::Movable, MigrateType::Reclaimable] {
            let counters = after(Pool::List(FreeKind::Listed(kind)));
            assert_eq!(counters, Counters { free: 8, ..Counters::default() });
        }
    }

    #[test]
    fn a_page_on_the_isolated_list_is_not_a_free_page() {
        let counters = after(Pool::List(FreeKind::Isolated));
        assert_eq!(counters, Counters { isolated: 8, ..Counters::default() });
    }

    #[test]
    fn a_page_on_a_cma_list_is_free_and_free_cma() {
        let counters = after(Pool::List(FreeKind::Listed(MigrateType::Cma)));
        assert_eq!(counters, Counters { free: 8, free_cma: 8, ..Counters::default() });
    }

    #[test]
    fn a_page_of_the_atomic_reserve_is_free_and_counted_apart() {
        let counters = after(Pool::List(FreeKind::Listed(MigrateType::HighAtomic)));
        assert_eq!(counters, Counters { free: 8, free_atomic: 8, ..Counters::default() });
    }

    #[test]
    fn a_guard_page_is_not_a_free_page() {
        assert_eq!(after(Pool::Guard), Counters { guard: 8, ..Counters::default() });
        assert_eq!(after(Pool::Offline), Counters { offline: 8, ..Counters::default() });
    }

    #[test]
    fn leaving_undoes_joining() {
        for kind in FreeKind::ALL {
            let mut counters = after(Pool::List(kind));
            counters.account(Pool::List(kind), Change::Leave, 8);
            assert_eq!(counters, Counters::default());
        }
    }
}
