//! W6: from fresh memory, no page of which has been touched, to an allocator.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::arena::{Arena, BYTES, Backing, FRAMES};
use crate::peer::Peer;
use crate::roi::roi_init;

/// What was found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// Of the fastest time, page faults included.
    pub(crate) us_per_gib: f64,
    /// `None` if records are on a heap and grow with use.
    pub(crate) bytes_per_frame: Option<f64>,
    /// How often it was initialised.
    pub(crate) times: u64,
}

/// Initialises allocators until the time is up.
pub(crate) fn init<P: Peer>(budget: Duration) -> Begun {
    let gibibytes = BYTES as f64 / f64::from(1 << 30);
    let mut fastest = f64::INFINITY;
    let mut bytes_per_frame = None;
    let mut times = 0;
    let started = Instant::now();
    while times < 2 || started.elapsed() < budget {
        let arena = Arena::new(Backing::Small);
        let before = Instant::now();
        let peer: P = roi_init(arena);
        let took = before.elapsed();
        fastest = fastest.min(took.as_secs_f64() * 1e6 / gibibytes);
        bytes_per_frame = peer.metadata_bytes().map(|bytes| bytes as f64 / FRAMES as f64);
        times += 1;
    }
    Begun { us_per_gib: fastest, bytes_per_frame, times }
}
