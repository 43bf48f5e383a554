//! W6: initialisation, from zeroed memory to an allocator.
//!
//! It is timed on memory that has not been touched, which includes the page faults, and on memory
//! that is mapped already, as in a kernel. There also without the promise that it is zeroed.

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
    /// The same in memory that is not known to be zeroed, as documented for a kernel.
    pub(crate) us_per_gib_any_memory: Option<f64>,
    /// The size of the records. `None` if they are on a heap and grow with use.
    pub(crate) bytes_per_frame: Option<f64>,
    /// The number of initialisations.
    pub(crate) times: u64,
}

/// Initialises allocators until the time is up, at least two of each kind.
pub(crate) fn init<P: Peer>(budget: Duration) -> InitCost {
    let mut bytes_per_frame = None;
    let mut times = 0;
    let mut fastest = |backing, make: fn(Arena) -> Option<P>| {
        let mut fastest = Duration::MAX;
        let started = Instant::now();
        let enough = times + 2;
        while times < enough || started.elapsed() < budget / 2 {
            let mut arena = Arena::new(backing);
            if backing == Backing::Huge {
                arena.touch_margins();
            }
            let before = Instant::now();
            let peer = make(arena)?;
            fastest = fastest.min(before.elapsed());
            bytes_per_frame = peer.metadata_bytes().map(|bytes| bytes as f64 / FRAMES as f64);
            times += 1;
        }
        Some(fastest.as_secs_f64() * 1e6 / (BYTES as f64 / f64::from(1 << 30)))
    };
    let mut zeroed = |backing| fastest(backing, |arena| Some(counted_init(arena))).unwrap_or(f64::NAN);
    let (us_per_gib, us_per_gib_mapped) = (zeroed(Backing::Small), zeroed(Backing::Huge));
    let us_per_gib_any_memory = fastest(Backing::Huge, P::new_in_any_memory);
    InitCost { us_per_gib, us_per_gib_mapped, us_per_gib_any_memory, bytes_per_frame, times }
}
