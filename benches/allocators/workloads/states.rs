//! The states of an allocator before a workload: fragmented, or nearly full.
//!
//! Nothing here uses the counted functions.

use pageblock::{Mobility, Order, Pfn};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::arena::FRAMES;
use crate::cpu;
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

/// Fragments free memory with two CPUs: five times, each allocates until it has 32,768 frames, then
/// frees a random half of them, all in turns of random lengths. Returns what they have then.
pub(crate) fn age_by_both<P: Peer>(peer: &P) -> [Vec<Pfn>; cpu::CPUS] {
    let mut random = random(10);
    let mut live: [Vec<Pfn>; cpu::CPUS] = Default::default();
    let most = shortened::<P>(32_768);
    for aim in [most, most / 2].into_iter().cycle().take(10) {
        while live.iter().any(|frames| frames.len() != aim) {
            let number = random.random_range(0..cpu::CPUS);
            cpu::become_cpu(number);
            let frames = &mut live[number];
            let turn = random.random_range(1..=128).min(frames.len().abs_diff(aim));
            if frames.len() < aim {
                frames.extend(take(peer, turn));
            } else {
                for _ in 0..turn {
                    let chosen = random.random_range(0..frames.len());
                    peer.free(frames.swap_remove(chosen), Order::ZERO);
                }
            }
        }
    }
    cpu::become_cpu(0);
    live
}

/// Allocates all frames and frees a random hundredth. Returns the allocated frames in random order.
pub(crate) fn fill<P: Peer>(peer: &P) -> Vec<Pfn> {
    let mut frames = take(peer, FRAMES);
    frames.shuffle(&mut random(2));
    let live = frames.len() - FRAMES / 100;
    give_back(peer, frames.drain(live..));
    frames
}
