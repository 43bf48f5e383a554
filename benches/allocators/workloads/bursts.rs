//! W2: 1024 allocations, then their frees in random order, on an allocator with fragmented memory.

use pageblock::Pfn;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use crate::counted::{counted_alloc_known, counted_free_known};
use crate::peer::Peer;
use crate::workloads::states;
use crate::workloads::steady::{Done, Steady};

/// The number of frames in a burst.
pub(crate) const LENGTH: usize = 1024;

/// The number of bursts in a round.
const BURSTS: usize = 4;

/// W2.
pub(crate) struct Burst {
    /// The indices of `frames` in the order of the frees.
    places: Vec<u16>,
    frames: Vec<Option<Pfn>>,
    random: SmallRng,
}

impl Burst {
    /// A burst with that stream of random numbers, so that the frees of two threads differ.
    pub(crate) fn with_stream(stream: u64) -> Self {
        let places = (0..LENGTH as u16).collect();
        Self { places, frames: vec![None; LENGTH], random: states::random(stream) }
    }

    /// Draws a new order of the frees.
    pub(crate) fn shuffle(&mut self) {
        self.places.shuffle(&mut self.random);
    }

    /// Runs one burst.
    #[inline(always)]
    pub(crate) fn burst<P: Peer>(&mut self, peer: &P) -> Done {
        let mut done = Done::default();
        for frame in &mut self.frames {
            *frame = counted_alloc_known::<P, 0>(peer);
        }
        for &place in &self.places {
            match self.frames[place as usize].take() {
                Some(pfn) => {
                    counted_free_known::<P, 0>(peer, pfn);
                    done.pairs += 1;
                }
                None => done.failures += 1,
            }
        }
        done
    }
}

impl<P: Peer> Steady<P> for Burst {
    fn new(peer: &P) -> Self {
        states::age(peer);
        Self::with_stream(3)
    }

    fn prepare(&mut self) {
        self.shuffle();
    }

    fn round(&mut self, peer: &P) -> Done {
        let mut done = Done::default();
        for _ in 0..states::shortened::<P>(BURSTS).max(1) {
            done += self.burst(peer);
        }
        done
    }
}
