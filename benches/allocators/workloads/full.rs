//! W8, W8b: pairs of a free of a random frame and an allocation, with 99 % of memory allocated.
//!
//! Caches serve all of W8, which frees one frame at a time. W8b frees 512 at a time, which reaches
//! the allocator behind the caches.

use pageblock::Pfn;
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::counted::{counted_alloc_known, counted_free_known};
use crate::peer::Peer;
use crate::workloads::states;
use crate::workloads::steady::{Done, Steady};

/// The number of pairs in a round.
const PAIRS: usize = 2048;

/// Frees and allocates `BURST` frames at a time.
pub(crate) struct Crowded<const BURST: usize> {
    /// The allocated frames, in random order. `None`: the allocation failed.
    live: Vec<Option<Pfn>>,
    /// The start of the range of `live` that the next round replaces.
    from: usize,
    pairs: usize,
    random: SmallRng,
}

/// W8: one frame at a time.
pub(crate) type Full = Crowded<1>;

/// W8b: 512 frames at a time.
pub(crate) type FullBurst = Crowded<512>;

impl<P: Peer, const BURST: usize> Steady<P> for Crowded<BURST> {
    fn new(peer: &P) -> Self {
        let live = states::fill(peer).into_iter().map(Some).collect();
        let pairs = states::shortened::<P>(PAIRS).max(BURST);
        Self { live, from: 0, pairs, random: states::random(5) }
    }

    fn prepare(&mut self) {
        // The frames were shuffled, so a range of them is a random choice. A round stores frames
        // that are near each other in memory in its range, so ranges are drawn rather than taken in
        // turn.
        self.from = self.random.random_range(0..self.live.len() - self.pairs);
    }

    fn round(&mut self, peer: &P) -> Done {
        let mut done = Done::default();
        let chosen = &mut self.live[self.from..][..self.pairs];
        for burst in chosen.chunks_exact_mut(BURST) {
            for pfn in burst.iter_mut().filter_map(Option::take) {
                counted_free_known::<P, 0>(peer, pfn);
            }
            for place in burst {
                *place = counted_alloc_known::<P, 0>(peer);
                match place {
                    Some(_) => done.pairs += 1,
                    None => done.failures += 1,
                }
            }
        }
        done
    }
}
