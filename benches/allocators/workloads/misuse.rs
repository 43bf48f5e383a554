//! Misuse: what an allocator says to a free that is wrong, and what becomes of it.

use std::collections::HashSet;

use pageblock::{Order, Pfn};
use serde::{Deserialize, Serialize};

use crate::arena::FRAMES;
use crate::peer::{Peer, Refused};
use crate::workloads::states::{give_back, take};

/// What an allocator makes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// It says so, and goes on.
    Refused,
    /// It panics or crashes: the process ended.
    Dies,
    /// Nothing is said, and nobody is harmed.
    Ignored,
    /// Nothing is said, and frames that have an owner, or that do not exist, are handed out.
    HandsOut,
}

impl Verdict {
    /// As tables have it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Dies => "dies",
            Self::Ignored => "ignored",
            Self::HandsOut => "silent",
        }
    }
}

/// Takes whatever there is, and looks for frames that it must not get: `wrong` ones, and those it gets twice.
fn verdict<P: Peer>(peer: &P, freed: Result<(), Refused>, wrong: impl Fn(&Pfn) -> bool) -> Verdict {
    // A list that has become a ring has no end: no more than there can be.
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
    // Every other frame is free: the victim merges with nothing.
    let mut frames = take(peer, 4096);
    frames.sort();
    let victim = frames[1024];
    give_back(peer, frames.into_iter().step_by(2));
    let freed = peer.try_free(victim, Order::ZERO);
    verdict(peer, freed, |_| false)
}

/// A single frame is freed as if it were a block of eight, with seven of another owner.
pub(crate) fn wrong_order<P: Peer>(peer: &P) -> Verdict {
    let order = Order::new(3);
    let owned: HashSet<Pfn> = take(peer, 4096).into_iter().collect();
    let whole =
        |&&head: &&Pfn| order.is_aligned(head) && order.block(head).iter().all(|pfn| owned.contains(&pfn));
    let &head = owned.iter().filter(whole).min().expect("4096 frames have eight in a row");
    let freed = peer.try_free(head, order);
    verdict(peer, freed, |pfn| *pfn != head && owned.contains(pfn))
}

/// A frame is freed that the allocator was never given.
pub(crate) fn out_of_range<P: Peer>(peer: &P) -> Verdict {
    let first = peer.first_frame().number();
    // Beyond everything that was given to it, and still memory, so that nothing else goes wrong.
    let foreign = Pfn::new(first + FRAMES + 6144);
    let freed = peer.try_free(foreign, Order::ZERO);
    verdict(peer, freed, |pfn| !(first..first + FRAMES).contains(&pfn.number()))
}
