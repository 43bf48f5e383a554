//! The states of an allocator before a workload: fragmented, or nearly full.
//!
//! Nothing here uses the counted functions.

use pageblock::{Mobility, Order, Pfn};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use crate::arena::FRAMES;
use crate::peer::{Pace, Peer};

/// Random numbers that are the same for every allocator and differ between streams.
pub(crate) fn random(stream: u64) -> SmallRng {
    SmallRng::seed_from_u64(stream)
}

/// `count`, or less for slow allocators.
pub(crate) const fn shortened<P: Peer>(count: usize) -> usize {
    match P::ID.pace() {
        Pace::Normal => count,
        Pace::Slow => count / 16,
    }
}

/// Allocates up to `count` single frames.
pub(crate) fn take<P: Peer>(peer: &P, count: usize) -> Vec<Pfn> {
    (0..count).map_while(|_| peer.alloc(Order::ZERO, Mobility::Movable)).collect()
}

/// Frees single frames.
pub(crate) fn give_back<P: Peer>(peer: &P, frames: impl IntoIterator<Item = Pfn>) {
    for pfn in frames {
        peer.free(pfn, Order::ZERO);
    }
}

/// Fragments free memory: allocates 65,536 frames and frees a random half, most of which merge with
/// no neighbour.
pub(crate) fn age<P: Peer>(peer: &P) {
    let mut frames = take(peer, shortened::<P>(65_536));
    frames.shuffle(&mut random(1));
    let freed = frames.len() / 2;
    give_back(peer, frames.drain(..freed));
}

/// Allocates all frames and frees a random hundredth. Returns the allocated frames in random order.
pub(crate) fn fill<P: Peer>(peer: &P) -> Vec<Pfn> {
    let mut frames = take(peer, FRAMES);
    frames.shuffle(&mut random(2));
    let live = frames.len() - FRAMES / 100;
    give_back(peer, frames.drain(live..));
    frames
}
