//! The events of a zone, counted with the zone locked, so that the counts are exact.
//!
//! Nothing is counted where a block goes between its owner and a pcplist: that would cost an
//! instruction in every call. What is counted is each page that leaves the free lists of a zone or
//! comes back, so that, without hotplug, reservations and faults,
//!
//! ```text
//! allocated + cached = alloc_pages + refill_pages + contig_alloc_pages
//!                    - free_pages - spill_pages - drain_pages - contig_free_pages
//! ```

macro_rules! zone_events {
    ($($(#[$doc:meta])+ $field:ident = $name:literal,)+) => {
        /// The events of one zone since boot. See [`VmStat`](crate::VmStat).
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        #[non_exhaustive]
        pub struct ZoneEvents {
            $($(#[$doc])+ pub $field: u64,)+
        }

        impl ZoneEvents {
            /// The name and the count of each event.
            pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field)),+].into_iter()
            }

            /// No events.
            pub(crate) const fn new() -> Self {
                Self { $($field: 0),+ }
            }

            /// The sum of the events of two zones.
            pub(crate) const fn plus(self, other: Self) -> Self {
                Self { $($field: self.$field + other.$field),+ }
            }
        }
    };
}

zone_events! {
    /// Blocks that a request got from the zone: past the pcplists, or with a refill.
    allocs = "zone_alloc",
    /// The pages of these blocks.
    alloc_pages = "zone_alloc_pages",
    /// Blocks that were freed to the zone, past the pcplists.
    frees = "zone_free",
    /// The pages of these blocks.
    free_pages = "zone_free_pages",
    /// Refills of pcplists, which moved a block or more to a list.
    refills = "pcp_refill",
    /// The pages that refills moved to the lists, without the block of the request itself.
    refill_pages = "pcp_refill_pages",
    /// Spills of full pcplists, also for atomic requests that take cached pages.
    spills = "pcp_spill",
    /// The pages that spills moved to the zone.
    spill_pages = "pcp_spill_pages",
    /// The pages that drains moved to the zone.
    drain_pages = "pcp_drain_pages",
    /// The pages of contiguous allocations, those of CMA areas included.
    contig_alloc_pages = "contig_alloc_pages",
    /// The pages of contiguous allocations that were freed.
    contig_free_pages = "contig_free_pages",
    /// Requests that the lists of their own type, and CMA for movable ones, could not serve.
    fallbacks = "fallback",
    /// Of these, served by a claim: a pageblock got the type of the request.
    claims = "fallback_claim",
    /// Of these, served by a steal: the pageblock kept its type.
    steals = "fallback_steal",
    /// Pageblocks that joined the high-atomic reserve.
    reserved_pageblocks = "highatomic_reserve",
    /// Pageblocks that left the high-atomic reserve.
    unreserved_pageblocks = "highatomic_unreserve",
    /// Pageblocks that were isolated.
    isolated_pageblocks = "pageblock_isolate",
    /// Pageblocks whose isolation ended.
    unisolated_pageblocks = "pageblock_unisolate",
    /// The pages of blocks that were reported to the host, which acknowledged them.
    report_pages = "report_pages",
    /// The pages of blocks that were reported to the host, which refused them.
    report_fail_pages = "report_fail_pages",
    /// The pages of blocks that were taken back from a batch before the host was told of them,
    /// because a request or an isolation needed them.
    report_recall_pages = "report_recall_pages",
}
