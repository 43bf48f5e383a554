//! Misuse: how an allocator reacts to a wrong free, and what the free does to it.

use std::collections::HashSet;

use pageblock::{Order, Pfn};
use serde::{Deserialize, Serialize};

use crate::arena::FRAMES;
use crate::peer::{Peer, Refused};
use crate::workloads::states::{give_back, take};

/// The reaction to a wrong free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The allocator returns an error and goes on.
    Refused,
    /// The allocator panics or crashes: the process ends.
    Dies,
    /// There is no error, and no frame is handed out wrongly.
    Ignored,
    /// There is no error, and frames are handed out that have an owner or do not exist.
    HandsOut,
}

impl Verdict {
    /// The word in tables.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Dies => "dies",
            Self::Ignored => "ignored",
            Self::HandsOut => "silent",
        }
    }
}

/// Allocates all frames and looks for those that are `wrong` or are handed out twice.
fn verdict<P: Peer>(peer: &P, freed: Result<(), Refused>, wrong: impl Fn(&Pfn) -> bool) -> Verdict {
    // A free list that has become a cycle has no end, so no more frames are taken than exist.
    let frames = take(peer, FRAMES + 1);
    let mut seen = HashSet::new();
    let harmed = frames.iter().any(|pfn| wrong(pfn) || !seen.insert(*pfn));
    match (freed, harmed) {
        (_, true) => Verdict::HandsOut,
        (Err(Refused), false) => Verdict::Refused,
        (Ok(()), false) => Verdict::Ignored,
    }
}

/// A frame is freed twice.
pub(crate) fn double_free<P: Peer>(peer: &P) -> Verdict {
    // Every second frame is free, so the victim merges with no neighbour.
    let mut frames = take(peer, 4096);
    frames.sort();
    let victim = frames[1024];
    give_back(peer, frames.into_iter().step_by(2));
    let freed = peer.try_free(victim, Order::ZERO);
    verdict(peer, freed, |_| false)
}

/// A single frame is freed as a block of eight. The seven others are allocated.
pub(crate) fn wrong_order<P: Peer>(peer: &P) -> Verdict {
    let order = Order::new(3);
    let owned: HashSet<Pfn> = take(peer, 4096).into_iter().collect();
    let whole =
        |&&head: &&Pfn| order.is_aligned(head) && order.block(head).iter().all(|pfn| owned.contains(&pfn));
    let &head = owned.iter().filter(whole).min().expect("4096 frames have eight in a row");
    let freed = peer.try_free(head, order);
    verdict(peer, freed, |pfn| *pfn != head && owned.contains(pfn))
}

/// A frame is freed that the allocator does not manage.
pub(crate) fn out_of_range<P: Peer>(peer: &P) -> Verdict {
    let first = peer.first_frame().number();
    // It lies behind all frames and is memory of the arena, so that nothing else goes wrong.
    let foreign = Pfn::new(first + FRAMES + 6144);
    let freed = peer.try_free(foreign, Order::ZERO);
    verdict(peer, freed, |pfn| !(first..first + FRAMES).contains(&pfn.number()))
}
