//! W7: how many blocks of 2 MiB can be allocated after four histories of allocations and frees.
//!
//! A result has three numbers: *ideal*, if the free frames were all in one range; *possible*, the
//! aligned 2 MiB without an allocated frame; and the blocks that the allocator then hands out.
//! `W7d` follows the `frag` benchmark of LLFree, but frees all frames of a round before it
//! allocates others: with single pairs, a cache would return the frame that was just freed, and
//! nothing would change.

use pageblock::{Mobility, Order, Pfn};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use crate::arena::FRAMES;
use crate::peer::Peer;
use crate::workloads::states::{give_back, random, take};

/// The order of a huge page, 2 MiB.
const HUGE: Order = Order::new(9);

/// The result.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(crate) struct HugePages {
    /// The number of blocks of 2 MiB that the allocator handed out.
    pub(crate) obtained: usize,
    /// The number of aligned 2 MiB without an allocated frame.
    pub(crate) possible: usize,
    /// The number of blocks of 2 MiB if all free frames were in one range.
    pub(crate) ideal: usize,
    /// The number of allocations of the history that failed.
    pub(crate) failures: usize,
    /// Of W7d: `possible` every 20 rounds.
    pub(crate) course: Vec<usize>,
}

/// The allocated blocks.
type Live = Vec<(Pfn, Order)>;

fn singles(frames: Vec<Pfn>) -> Live {
    frames.into_iter().map(|pfn| (pfn, Order::ZERO)).collect()
}

fn possible<P: Peer>(peer: &P, live: &[(Pfn, Order)]) -> usize {
    let mut empty = vec![true; FRAMES / HUGE.pages()];
    let first = peer.first_frame().number();
    for &(pfn, order) in live {
        // The first frame is aligned to the largest block, and no block here exceeds 2 MiB.
        debug_assert!(order <= HUGE);
        empty[(pfn.number() - first) / HUGE.pages()] = false;
    }
    empty.into_iter().filter(|&it| it).count()
}

fn judge<P: Peer>(peer: &P, live: &[(Pfn, Order)]) -> HugePages {
    let allocated: usize = live.iter().map(|(_, order)| order.pages()).sum();
    let obtained = std::iter::from_fn(|| peer.alloc(HUGE, Mobility::Movable)).count();
    HugePages {
        obtained,
        possible: possible(peer, live),
        ideal: (FRAMES - allocated) / HUGE.pages(),
        ..HugePages::default()
    }
}

/// Frees a random nine tenths of the blocks.
fn thin_out<P: Peer>(peer: &P, live: &mut Live) {
    live.shuffle(&mut random(6));
    let kept = live.len() / 10;
    for (pfn, order) in live.drain(kept..) {
        peer.free(pfn, order);
    }
}

/// W7a: blocks of random orders.
pub(crate) fn mixed<P: Peer>(peer: &P) -> HugePages {
    let mut random = random(7);
    let mut live = Live::new();
    let mut allocated = 0;
    while allocated < FRAMES / 2 {
        let order = Order::new(random.random_range(0..=9));
        live.push((peer.alloc(order, Mobility::Movable).expect("half is free"), order));
        allocated += order.pages();
    }
    thin_out(peer, &mut live);
    judge(peer, &live)
}

/// W7b: single frames.
pub(crate) fn single<P: Peer>(peer: &P) -> HugePages {
    let mut live = singles(take(peer, FRAMES / 2));
    thin_out(peer, &mut live);
    judge(peer, &live)
}

/// W7c: single frames, one in ten long-lived.
pub(crate) fn hinted<P: Peer>(peer: &P) -> HugePages {
    let mut random = random(8);
    let mut live = Live::new();
    let mut passing = Vec::new();
    for _ in 0..FRAMES / 10 * 8 {
        let stays = random.random_range(0..10) == 0;
        let mobility = if stays { Mobility::Unmovable } else { Mobility::Movable };
        let pfn = peer.alloc(Order::ZERO, mobility).expect("a fifth is free");
        if stays {
            live.push((pfn, Order::ZERO));
        } else {
            passing.push(pfn);
        }
    }
    passing.shuffle(&mut random);
    give_back(peer, passing);
    judge(peer, &live)
}

/// W7d: repeated replacement of random frames.
pub(crate) fn churn<P: Peer>(peer: &P) -> HugePages {
    let mut random = random(9);
    let mut frames = take(peer, FRAMES);
    frames.shuffle(&mut random);
    give_back(peer, frames.drain(FRAMES / 2..));
    let mut failures = 0;
    let mut course = vec![possible(peer, &singles(frames.clone()))];
    for round in 1..=100 {
        let replaced = frames.len() / 10;
        let (chosen, others) = frames.partial_shuffle(&mut random, replaced);
        give_back(peer, chosen.iter().copied());
        let mut next = others.to_vec();
        next.extend(take(peer, replaced));
        failures += frames.len() - next.len();
        frames = next;
        if round % 20 == 0 {
            course.push(possible(peer, &singles(frames.clone())));
        }
    }
    HugePages { failures, course, ..judge(peer, &singles(frames)) }
}
