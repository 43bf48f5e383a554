//! How often the log is told of an event.
//!
//! Only slow paths log, and of each kind of event only the 1st, 2nd, 4th, 8th … with its number: a
//! kernel that is out of memory a million times writes twenty lines. No lock of the allocator is
//! held meanwhile, so that a logger may allocate; it must be callable wherever the allocator is
//! called.

use crate::sync::{Ordering, PlainUsize};

/// Counts events of one kind.
#[derive(Debug, Default)]
pub(crate) struct RateLimit(PlainUsize);

impl RateLimit {
    /// Counts one more. Its number, if it is to be told.
    pub(crate) fn count(&self) -> Option<usize> {
        let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        number.is_power_of_two().then_some(number)
    }
}

/// The kinds that there are.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    /// Requests that got nothing.
    pub(crate) no_memory: RateLimit,
    /// Frees that were refused where nobody could be given the error.
    pub(crate) refused_frees: RateLimit,
}

#[cfg(test)]
mod tests {
    use super::RateLimit;

    #[test]
    fn a_million_events_make_twenty_lines() {
        let limit = RateLimit::default();
        let told: Vec<_> = (0..1_000_000).filter_map(|_| limit.count()).collect();
        assert_eq!(told.len(), 20);
        assert_eq!(told[..4], [1, 2, 4, 8]);
    }
}
