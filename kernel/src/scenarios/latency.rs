//! Durations of an operation: extremes and percentiles.

use heapless::Vec;
use pageblock_protocol::stat;

use crate::report::stats;

/// The number of samples for the percentiles. Further samples replace the oldest ones.
const SAMPLES: usize = 1024;

/// Durations in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    samples: Vec<u64, SAMPLES>,
    taken: usize,
    min: u64,
    max: u64,
}

impl Latency {
    pub(crate) const fn new() -> Self {
        Self { samples: Vec::new(), taken: 0, min: 0, max: 0 }
    }

    pub(crate) fn record(&mut self, microseconds: u64) {
        self.min = if self.taken == 0 { microseconds } else { self.min.min(microseconds) };
        self.max = self.max.max(microseconds);
        if let Err(sample) = self.samples.push(microseconds) {
            self.samples[self.taken % SAMPLES] = sample;
        }
        self.taken += 1;
    }

    /// Reports the extremes and the percentiles. There is no p99 of fewer than a hundred samples.
    pub(crate) fn report(&self) {
        stats([(stat::LATENCY_US_MIN, self.min), (stat::LATENCY_US_P50, self.percentile(50))]);
        if self.taken >= 100 {
            stats([(stat::LATENCY_US_P99, self.percentile(99))]);
        }
        stats([(stat::LATENCY_US_MAX, self.max)]);
    }

    /// The longest of all durations; 0 without any.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The smallest sample that at least `percent` of the samples do not exceed (nearest rank).
    pub(crate) fn percentile(&self, percent: usize) -> u64 {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}
