//! The states that allocators are brought into before a workload: used for a while, or full.
//!
//! All of it goes past the regions of interest: nothing here is counted. Neighbours: the workloads beside this.

use pageblock::{Mobility, Order, Pfn};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use crate::arena::FRAMES;
use crate::peer::{Pace, Peer};

/// The same random numbers for every allocator, and others for each use of them.
pub(crate) fn random(stream: u64) -> SmallRng {
    SmallRng::seed_from_u64(stream)
}

/// So many of `count`, less for allocators that take very long.
pub(crate) const fn shortened<P: Peer>(count: usize) -> usize {
    match P::ID.pace() {
        Pace::Brisk => count,
        Pace::Slow => count / 16,
    }
}

/// Single frames, as many as there are, up to `count`.
pub(crate) fn take<P: Peer>(peer: &P, count: usize) -> Vec<Pfn> {
    (0..count).map_while(|_| peer.alloc(Order::ZERO, Mobility::Movable)).collect()
}

/// Frees single frames.
pub(crate) fn give_back<P: Peer>(peer: &P, frames: impl IntoIterator<Item = Pfn>) {
    for pfn in frames {
        peer.free(pfn, Order::ZERO);
    }
}

/// Half of 65,536 frames have been freed again, at random: what is free are mostly holes that merge with nothing.
pub(crate) fn age<P: Peer>(peer: &P) {
    let mut frames = take(peer, shortened::<P>(65_536));
    frames.shuffle(&mut random(1));
    let freed = frames.len() / 2;
    give_back(peer, frames.drain(..freed));
}

/// All frames have been taken, and a hundredth freed again, at random. Those that are allocated, in random order.
pub(crate) fn fill<P: Peer>(peer: &P) -> Vec<Pfn> {
    let mut frames = take(peer, FRAMES);
    frames.shuffle(&mut random(2));
    let live = frames.len() - FRAMES / 100;
    give_back(peer, frames.drain(live..));
    frames
}
