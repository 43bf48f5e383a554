//! W6: from zeroed memory to an allocator.
//!
//! Twice: on fresh memory of this process, no page of which has been touched, so that initialisation pays a page fault for each that it
//! touches; and on memory that is there already, as in a kernel that has mapped it.

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
    /// Of the fastest time, without page faults.
    pub(crate) us_per_gib_mapped: f64,
    /// `None` if records are on a heap and grow with use.
    pub(crate) bytes_per_frame: Option<f64>,
    /// How often it was initialised.
    pub(crate) times: u64,
}

/// Initialises allocators until the time is up.
pub(crate) fn init<P: Peer>(budget: Duration) -> Begun {
    let mut bytes_per_frame = None;
    let mut times = 0;
    let mut fastest = |backing| {
        let mut fastest = Duration::MAX;
        let started = Instant::now();
        let enough = times + 2;
        while times < enough || started.elapsed() < budget / 2 {
            let mut arena = Arena::new(backing);
            if backing == Backing::Huge {
                arena.touch_margins();
            }
            let before = Instant::now();
            let peer: P = roi_init(arena);
            fastest = fastest.min(before.elapsed());
            bytes_per_frame = peer.metadata_bytes().map(|bytes| bytes as f64 / FRAMES as f64);
            times += 1;
        }
        fastest.as_secs_f64() * 1e6 / (BYTES as f64 / f64::from(1 << 30))
    };
    let us_per_gib = fastest(Backing::Small);
    let us_per_gib_mapped = fastest(Backing::Huge);
    Begun { us_per_gib, us_per_gib_mapped, bytes_per_frame, times }
}
