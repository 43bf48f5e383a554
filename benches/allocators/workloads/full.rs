//! W8, W8b: random frames are freed and as many allocated while 99 % of memory is. With one at a time a cache serves everything;
//! 512 at a time reach what is behind it.

use pageblock::Pfn;
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::peer::Peer;
use crate::roi::{roi_alloc_known, roi_free_known};
use crate::workloads::{Done, Steady, states};

/// Pairs in a round.
const PAIRS: usize = 2048;

/// A nearly full machine, `BURST` frames at a time.
pub(crate) struct Crowded<const BURST: usize> {
    /// In random order. `None` is a frame that could not be allocated.
    live: Vec<Option<Pfn>>,
    /// The next frames to be freed: a stretch of `live`.
    from: usize,
    pairs: usize,
    random: SmallRng,
}

/// W8.
pub(crate) type Full = Crowded<1>;

/// W8b.
pub(crate) type FullBurst = Crowded<512>;

impl<P: Peer, const BURST: usize> Steady<P> for Crowded<BURST> {
    fn new(peer: &P) -> Self {
        let live = states::fill(peer).into_iter().map(Some).collect();
        let pairs = states::shortened::<P>(PAIRS).max(BURST);
        Self { live, from: 0, pairs, random: states::random(5) }
    }

    fn prepare(&mut self) {
        // The frames were shuffled: a stretch of them is a random choice. What is allocated into it lies about where older frees
        // were, so stretches are drawn, and not taken in turn.
        self.from = self.random.random_range(0..self.live.len() - self.pairs);
    }

    fn round(&mut self, peer: &P) -> Done {
        let mut done = Done::default();
        let chosen = &mut self.live[self.from..][..self.pairs];
        for burst in chosen.chunks_exact_mut(BURST) {
            for pfn in burst.iter_mut().filter_map(Option::take) {
                roi_free_known::<P, 0>(peer, pfn);
            }
            for place in burst {
                *place = roi_alloc_known::<P, 0>(peer);
                match place {
                    Some(_) => done.pairs += 1,
                    None => done.failures += 1,
                }
            }
        }
        done
    }
}
