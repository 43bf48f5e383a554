//! The events of the whole machine, counted on slow paths, with no lock held.
//!
//! The events of a zone, which are counted with it locked, are
//! [`ZoneEvents`](crate::ZoneEvents).

use crate::base::MigrateError;
use crate::sync::{Ordering, PlainU64};

macro_rules! machine_events {
    ($($(#[$doc:meta])+ $field:ident = $name:literal,)+) => {
        /// The events of the machine since boot that are of no zone. See [`VmStat`](crate::VmStat).
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        #[non_exhaustive]
        pub struct MachineEvents {
            $($(#[$doc])+ pub $field: u64,)+
        }

        impl MachineEvents {
            /// The name and the count of each event.
            pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field)),+].into_iter()
            }
        }

        /// The counters of [`MachineEvents`].
        #[derive(Debug, Default)]
        pub(crate) struct EventCounters {
            $(pub(crate) $field: EventCounter,)+
        }

        impl EventCounters {
            pub(crate) fn read(&self) -> MachineEvents {
                MachineEvents { $($field: self.$field.0.load(Ordering::Relaxed)),+ }
            }
        }
    };
}

machine_events! {
    /// Requests that failed because no zone had a block for them.
    failed_allocs = "alloc_fail",
    /// Drains of the pcplists of all CPUs: of all zones, of one, or of the pageblocks of a range.
    drains = "pcp_drain",
    /// Batches of pages that a CPU took from the exchange between the pcplists, where another had
    /// put them.
    exchanges = "pcp_exchange",
    /// Ranges that were isolated.
    isolations = "isolate",
    /// Ranges whose isolation was refused.
    refused_isolations = "isolate_fail",
    /// Pages that were migrated.
    migrated_pages = "pgmigrate_success",
    /// Pages of blocks that [`Migrate`](crate::Migrate) refused to migrate.
    refused_pages = "pgmigrate_fail",
    /// Blocks that were refused as busy.
    migrate_busy = "migrate_busy",
    /// Blocks that were refused as pinned.
    migrate_pinned = "migrate_pinned",
    /// Blocks that were refused because their owner was freeing them.
    migrate_gone = "migrate_gone",
    /// Blocks that their owner freed before they were pinned, or during a migration that was
    /// refused: no migration was needed.
    migrate_freed = "migrate_freed",
    /// Blocks for which there was no target.
    migrate_no_target = "migrate_no_target",
    /// Pages that were written after they were freed, which only poison finds.
    writes_after_free = "write_after_free",
    /// Allocations of CMA areas that succeeded.
    cma_allocs = "cma_alloc_success",
    /// Allocations of CMA areas that failed.
    failed_cma_allocs = "cma_alloc_fail",
}

#[derive(Debug, Default)]
pub(crate) struct EventCounter(PlainU64);

impl EventCounter {
    pub(crate) fn add(&self, events: usize) {
        self.0.fetch_add(events as u64, Ordering::Relaxed);
    }
}

impl EventCounters {
    /// Counts a refused migration of a block of `pages` pages.
    pub(crate) fn migration_refused(&self, error: MigrateError, pages: usize) {
        self.refused_pages.add(pages);
        match error {
            MigrateError::Busy => self.migrate_busy.add(1),
            MigrateError::Pinned => self.migrate_pinned.add(1),
            MigrateError::Gone => self.migrate_gone.add(1),
        }
    }
}
