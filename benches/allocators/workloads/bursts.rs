//! W2: 1024 allocations, then their frees in another order, on an allocator that has been used for a while.

use pageblock::Pfn;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use crate::peer::Peer;
use crate::roi::{roi_alloc_known, roi_free_known};
use crate::workloads::{Done, Steady, states};

/// Frames in a burst.
pub(crate) const LENGTH: usize = 1024;

/// Bursts in a round.
const BURSTS: usize = 4;

/// W2.
pub(crate) struct Burst {
    /// A frame goes where its number stands, so that places in order are frees in another.
    places: Vec<u16>,
    frames: Vec<Option<Pfn>>,
    random: SmallRng,
}

impl Burst {
    /// `stream` makes the frees of two threads different.
    pub(crate) fn with_stream(stream: u64) -> Self {
        let places = (0..LENGTH as u16).collect();
        Self { places, frames: vec![None; LENGTH], random: states::random(stream) }
    }

    /// Draws another order for the frees.
    pub(crate) fn shuffle(&mut self) {
        self.places.shuffle(&mut self.random);
    }

    /// One burst.
    #[inline(always)]
    pub(crate) fn burst<P: Peer>(&mut self, peer: &P) -> Done {
        let mut done = Done::default();
        for frame in &mut self.frames {
            *frame = roi_alloc_known::<P, 0>(peer);
        }
        for &place in &self.places {
            match self.frames[place as usize].take() {
                Some(pfn) => {
                    roi_free_known::<P, 0>(peer, pfn);
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
