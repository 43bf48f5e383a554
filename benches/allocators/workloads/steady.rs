//! The interface of the workloads that are repeated in rounds.

use crate::peer::Peer;

/// A workload of rounds. Each round is timed, or its instructions are counted.
pub(crate) trait Steady<P: Peer>: Sized {
    /// The number of states of the allocator in which rounds have different costs. The figure is
    /// the mean over all states.
    const STATES: usize = 1;

    /// Brings the allocator into the state before the first round.
    fn new(peer: &P) -> Self;

    /// Brings the allocator into the next of the [`STATES`](Self::STATES).
    fn enter(&mut self, _peer: &P, _state: usize) {}

    /// Draws the random numbers of the next round. Not timed.
    fn prepare(&mut self) {}

    /// Runs a round. Timed. Returns what it did.
    fn round(&mut self, peer: &P) -> Done;
}

/// The operations of a round.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Done {
    /// The number of allocations that were freed.
    pub(crate) pairs: u64,
    /// The number of allocations that failed.
    pub(crate) failures: u64,
}

impl std::ops::AddAssign for Done {
    fn add_assign(&mut self, other: Self) {
        self.pairs += other.pairs;
        self.failures += other.failures;
    }
}
