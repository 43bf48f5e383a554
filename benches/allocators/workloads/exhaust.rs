//! Exhaustion: whether every free frame can be allocated, also if no free frame has a free
//! neighbour.

use serde::{Deserialize, Serialize};

use crate::arena::FRAMES;
use crate::peer::Peer;
use crate::workloads::states::{give_back, take};

/// The number of frames that are freed again.
const APART: usize = 16_384;

/// The result.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Exhausted {
    /// The number of frames that a fresh allocator handed out, of [`FRAMES`].
    pub(crate) given: usize,
    /// The number of frames that were then freed, no two of them neighbours.
    pub(crate) freed: usize,
    /// The number of these that it handed out again.
    pub(crate) given_again: usize,
}

/// Allocates all frames, frees every second one of the first, and allocates all again.
pub(crate) fn exhaust<P: Peer>(peer: &P) -> Exhausted {
    let mut frames = take(peer, FRAMES + 1);
    let given = frames.len();
    frames.sort();
    let apart: Vec<_> = frames.into_iter().step_by(2).take(APART).collect();
    let freed = apart.len();
    give_back(peer, apart);
    Exhausted { given, freed, given_again: take(peer, freed + 1).len() }
}
