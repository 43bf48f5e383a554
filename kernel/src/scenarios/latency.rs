//! Durations of an operation: extremes and percentiles.

use heapless::Vec;

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
    #[cfg(feature = "designs")]
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

    /// The shortest duration; 0 without samples.
    pub(crate) fn min(&self) -> u64 {
        self.min
    }

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
