//! W1, W1f, W4: an allocation and its free, repeated.

use pageblock::{Mobility, Order};

use crate::counted::{counted_alloc_known, counted_free_known};
use crate::peer::Peer;
use crate::workloads::states;
use crate::workloads::steady::{Done, Steady};

/// The number of pairs in a round.
const PAIRS: usize = 2048;

/// The order of a huge page, 2 MiB.
const HUGE: Order = Order::new(9);

/// Runs `count` pairs of one order, which is a constant.
#[inline(always)]
pub(crate) fn pairs<P: Peer, const ORDER: u8>(peer: &P, count: usize) -> Done {
    let mut done = Done::default();
    for _ in 0..count {
        match counted_alloc_known::<P, ORDER>(peer) {
            Some(pfn) => {
                counted_free_known::<P, ORDER>(peer, pfn);
                done.pairs += 1;
            }
            None => done.failures += 1,
        }
    }
    done
}

/// W1: on an allocator with fragmented free memory.
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

/// W1f and W4: on a fresh allocator with 1 to 16 blocks that stay allocated. Their number decides
/// how far a block is split and merged.
pub(crate) struct Fresh<const ORDER: u8>;

/// W1f: order 0.
pub(crate) type FreshPair = Fresh<0>;

/// W4: order 9.
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
