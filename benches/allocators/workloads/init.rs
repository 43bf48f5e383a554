//! W6: initialisation, from memory to an allocator.
//!
//! It is timed on memory that has not been touched, which includes the page faults, and on memory
//! that is mapped already, as in a kernel.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::arena::{Arena, BYTES, Backing, FRAMES};
use crate::counted::counted_init;
use crate::peer::Peer;

/// The result.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct InitCost {
    /// The fastest time, page faults included.
    pub(crate) us_per_gib: f64,
    /// The fastest time, without page faults.
    pub(crate) us_per_gib_mapped: f64,
    /// The size of the records. `None` if they are on a heap and grow with use.
    pub(crate) bytes_per_frame: Option<f64>,
    /// The number of initialisations.
    pub(crate) times: u64,
}

/// Initialises allocators until the time is up, at least two of each kind.
pub(crate) fn init<P: Peer>(budget: Duration) -> InitCost {
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
            let peer: P = counted_init(arena);
            fastest = fastest.min(before.elapsed());
            bytes_per_frame = peer.metadata_bytes().map(|bytes| bytes as f64 / FRAMES as f64);
            times += 1;
        }
        fastest.as_secs_f64() * 1e6 / (BYTES as f64 / f64::from(1 << 30))
    };
    let (us_per_gib, us_per_gib_mapped) = (fastest(Backing::Small), fastest(Backing::Huge));
    InitCost { us_per_gib, us_per_gib_mapped, bytes_per_frame, times }
}
