//! W1, W1f, W4: an allocation and its free, over and over.

use pageblock::{Mobility, Order};

use crate::peer::Peer;
use crate::roi::{roi_alloc_known, roi_free_known};
use crate::workloads::{Done, Steady, states};

/// Pairs in a round.
const PAIRS: usize = 2048;

/// The order of a huge page, 2 MiB.
const HUGE: Order = Order::new(9);

/// `count` pairs of one order, which the caller knows when it is compiled.
#[inline(always)]
pub(crate) fn pairs<P: Peer, const ORDER: u8>(peer: &P, count: usize) -> Done {
    let mut done = Done::default();
    for _ in 0..count {
        match roi_alloc_known::<P, ORDER>(peer) {
            Some(pfn) => {
                roi_free_known::<P, ORDER>(peer, pfn);
                done.pairs += 1;
            }
            None => done.failures += 1,
        }
    }
    done
}

/// W1: on an allocator that has been used for a while.
pub(crate) struct Pair;

impl<P: Peer> Steady<P> for Pair {
    fn new(peer: &P) -> Self {
        states::age(peer);
        Self
    }

    fn round(&mut self, peer: &P) -> Done {
        pairs::<P, 0>(peer, states::shortened::<P>(PAIRS))
    }
}

/// W1f and W4: on a fresh allocator of which 1 to 16 blocks are kept: how far a block is split and merged depends on how many are.
pub(crate) struct Fresh<const ORDER: u8>;

/// W1f.
pub(crate) type FreshPair = Fresh<0>;

/// W4.
pub(crate) type HugePair = Fresh<{ HUGE.get() }>;

impl<P: Peer, const ORDER: u8> Steady<P> for Fresh<ORDER> {
    const STATES: usize = 16;

    fn new(_: &P) -> Self {
        Self
    }

    fn enter(&mut self, peer: &P, _: usize) {
        peer.alloc(Order::new(ORDER), Mobility::Movable).expect("nearly all is free");
    }

    fn round(&mut self, peer: &P) -> Done {
        pairs::<P, ORDER>(peer, states::shortened::<P>(PAIRS))
    }
}
