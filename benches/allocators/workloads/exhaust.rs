//! Exhaustion: whether every free frame can be had, also where none has a free neighbour.

use serde::{Deserialize, Serialize};

use crate::arena::FRAMES;
use crate::peer::Peer;
use crate::workloads::states::{give_back, take};

/// Frames that are freed again.
const APART: usize = 16_384;

/// What was found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Exhausted {
    /// Frames that a fresh allocator gave, of [`FRAMES`].
    pub(crate) given: usize,
    /// Frames that were then freed, none beside another.
    pub(crate) freed: usize,
    /// Of these, those that it gave again.
    pub(crate) given_again: usize,
}

/// Takes all, frees every other of the first frames, takes all again.
pub(crate) fn exhaust<P: Peer>(peer: &P) -> Exhausted {
    let mut frames = take(peer, FRAMES + 1);
    let given = frames.len();
    frames.sort();
    let apart: Vec<_> = frames.into_iter().step_by(2).take(APART).collect();
    let freed = apart.len();
    give_back(peer, apart);
    Exhausted { given, freed, given_again: take(peer, freed + 1).len() }
}
