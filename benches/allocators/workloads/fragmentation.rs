//! W7: how many blocks of 2 MiB can be had from what is free, after four histories.
//!
//! Three numbers: *ideal*, if the free frames were all in one piece; *possible*, the aligned 2 MiB in which no frame is allocated; and
//! those that the allocator then gives. `W7d` follows the `frag` benchmark of LLFree, except that the frames of a round
//! are all freed before others are allocated in their place: freed and allocated one by one, a cache gives each frame back at once, and
//! nothing would be measured.

use pageblock::{Mobility, Order, Pfn};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use crate::arena::FRAMES;
use crate::peer::Peer;
use crate::workloads::states::{give_back, random, take};

const HUGE: Order = Order::new(9);

/// What was found.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Huge {
    /// Blocks of 2 MiB that the allocator gave.
    pub(crate) obtained: usize,
    /// Aligned 2 MiB without an allocated frame.
    pub(crate) possible: usize,
    /// As many as the free frames would be.
    pub(crate) ideal: usize,
    /// Allocations that failed before.
    pub(crate) failures: usize,
    /// `possible` every 20 rounds, for W7d.
    pub(crate) course: Vec<usize>,
}

/// Blocks that are allocated.
type Live = Vec<(Pfn, Order)>;

fn singles(frames: Vec<Pfn>) -> Live {
    frames.into_iter().map(|pfn| (pfn, Order::ZERO)).collect()
}

fn possible<P: Peer>(peer: &P, live: &[(Pfn, Order)]) -> usize {
    let mut empty = vec![true; FRAMES / HUGE.pages()];
    let first = peer.first_frame().number();
    for &(pfn, order) in live {
        // The frames begin at a multiple of the largest block, and no block here is above 2 MiB.
        debug_assert!(order <= HUGE);
        empty[(pfn.number() - first) / HUGE.pages()] = false;
    }
    empty.into_iter().filter(|&it| it).count()
}

fn judge<P: Peer>(peer: &P, live: &[(Pfn, Order)]) -> Huge {
    let allocated: usize = live.iter().map(|(_, order)| order.pages()).sum();
    let obtained = std::iter::from_fn(|| peer.alloc(HUGE, Mobility::Movable)).count();
    Huge {
        obtained,
        possible: possible(peer, live),
        ideal: (FRAMES - allocated) / HUGE.pages(),
        ..Huge::default()
    }
}

/// Frees nine tenths of the blocks, at random.
fn thin_out<P: Peer>(peer: &P, live: &mut Live) {
    live.shuffle(&mut random(6));
    let kept = live.len() / 10;
    for (pfn, order) in live.drain(kept..) {
        peer.free(pfn, order);
    }
}

/// W7a.
pub(crate) fn mixed<P: Peer>(peer: &P) -> Huge {
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

/// W7b.
pub(crate) fn single<P: Peer>(peer: &P) -> Huge {
    let mut live = singles(take(peer, FRAMES / 2));
    thin_out(peer, &mut live);
    judge(peer, &live)
}

/// W7c.
pub(crate) fn hinted<P: Peer>(peer: &P) -> Huge {
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

/// W7d.
pub(crate) fn churn<P: Peer>(peer: &P) -> Huge {
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
    Huge { failures, course, ..judge(peer, &singles(frames)) }
}
