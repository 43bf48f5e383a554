//! What the guest sends for the pictures of a report: samples of what was so at one moment.

use pageblock_protocol::map::{self, Kind};
use pageblock_protocol::{Latency, Sample};

/// The samples of one boot, each kind in the order of its arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// Audits.
    pub audits: Vec<AuditSample>,
    /// Operations: the series, and the duration.
    pub latencies: Vec<(String, Latency)>,
    /// The free blocks of each order: the time in microseconds, and the numbers, of order 0 first.
    pub orders: Vec<(u64, Vec<u64>)>,
    /// The pageblocks: the time in microseconds, and the kind of each cell and its pages in use, in
    /// tenths.
    pub maps: Vec<(u64, Vec<(Kind, u8)>)>,
}

/// An audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSample {
    /// What was audited: the allocator as it is, with a mistake, or under a design.
    pub series: String,
    /// The time since the boot, in microseconds.
    pub at_us: u64,
    /// The free counters of all zones, in pages.
    pub counter: i64,
    /// The free pages.
    pub truth: i64,
}

impl AuditSample {
    /// By how much the counter was too high, in pages.
    pub const fn drift(&self) -> i64 {
        self.counter - self.truth
    }
}

impl Samples {
    /// Records a sample. Numbers of blocks that are none are left out.
    pub fn receive(&mut self, series: &str, at_us: u64, sample: Sample<'_>) {
        match sample {
            Sample::Audit { counter, truth } => {
                self.audits.push(AuditSample { series: series.to_owned(), at_us, counter, truth });
            }
            Sample::Latency(latency) => self.latencies.push((series.to_owned(), latency)),
            Sample::Orders(counts) => {
                let counts = counts.split(',').filter_map(|count| count.parse().ok()).collect();
                self.orders.push((at_us, counts));
            }
            Sample::Map(cells) => self.maps.push((at_us, map::cells(cells).collect())),
        }
    }

    /// The series of the audits, in the order of their first ones.
    pub fn audit_series(&self) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for audit in &self.audits {
            if !found.contains(&audit.series.as_str()) {
                found.push(&audit.series);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_kept_by_kind() {
        let mut samples = Samples::default();
        samples.receive("exact", 5, Sample::Audit { counter: 12, truth: 10 });
        samples.receive("mistakes", 6, Sample::Audit { counter: 9, truth: 10 });
        samples.receive("exact", 7, Sample::Audit { counter: 9, truth: 9 });
        samples.receive("memory", 8, Sample::Orders("3,0,x,1"));
        samples.receive("memory", 8, Sample::Map("M0C9"));
        let latency = Latency { whole: 7, ..Latency::default() };
        samples.receive("offlining", 9, Sample::Latency(latency));
        let drifts: Vec<i64> = samples.audits.iter().map(AuditSample::drift).collect();
        assert_eq!(drifts, [2, -1, 0]);
        assert_eq!(samples.audit_series(), ["exact", "mistakes"]);
        assert_eq!(samples.orders, [(8, vec![3, 0, 1])]);
        assert_eq!(samples.maps, [(8, vec![(Kind::Movable, 0), (Kind::Cma, 9)])]);
        assert_eq!(samples.latencies, [("offlining".to_owned(), latency)]);
    }
}
