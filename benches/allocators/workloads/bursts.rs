//! W2, W10, W9: many allocations, then their frees in random order, with fragmented free memory.
//!
//! W2 allocates 1024 frames, about as many as caches hold. W10 allocates 65,536, most of which pass
//! through the allocator behind the caches. In W9 one CPU allocates 512 frames and another one
//! frees them.

use pageblock::Pfn;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use crate::counted::{counted_alloc_known, counted_free_known};
use crate::cpu;
use crate::peer::Peer;
use crate::workloads::states;
use crate::workloads::steady::{Done, Steady};

/// The number of frames in a burst of W2.
pub(crate) const LENGTH: usize = 1024;

/// The number of frames in a round, if a burst has fewer.
const ROUND: usize = 4096;

/// Bursts of `LENGTH` frames, which CPU `FREES` frees. CPU 0 allocates them.
pub(crate) struct BurstOf<const LENGTH: usize, const FREES: usize> {
    /// The indices of `frames` in the order of the frees.
    places: Vec<u32>,
    frames: Vec<Option<Pfn>>,
    random: SmallRng,
}

/// W2.
pub(crate) type Burst = BurstOf<LENGTH, 0>;
/// W10.
pub(crate) type LargeBurst = BurstOf<65_536, 0>;
/// W9.
pub(crate) type HandOver = BurstOf<512, 1>;

impl<const LENGTH: usize, const FREES: usize> BurstOf<LENGTH, FREES> {
    /// A burst with that stream of random numbers, so that the frees of two threads differ.
    pub(crate) fn with_stream(stream: u64) -> Self {
        let places = (0..LENGTH as u32).collect();
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
        if FREES > 0 {
            cpu::become_cpu(FREES);
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
        if FREES > 0 {
            cpu::become_cpu(0);
        }
        done
    }
}

impl<P: Peer, const LENGTH: usize, const FREES: usize> Steady<P> for BurstOf<LENGTH, FREES> {
    fn new(peer: &P) -> Self {
        states::age(peer);
        Self::with_stream(3)
    }

    fn prepare(&mut self) {
        self.shuffle();
    }

    fn round(&mut self, peer: &P) -> Done {
        let mut done = Done::default();
        for _ in 0..states::shortened::<P>(ROUND / LENGTH).max(1) {
            done += self.burst(peer);
        }
        done
    }
}
