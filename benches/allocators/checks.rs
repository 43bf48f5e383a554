//! Tests of what the measurements take for granted: every adapter hands out naturally aligned blocks of its own frames, no two of them with a
//! frame in common, and gets all of them back. And that callgrind's output is read right.

use std::collections::HashSet;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use pageblock::{Mobility, Order, Pfn};
use rand::seq::SliceRandom as _;

use crate::arena::{Arena, Backing, FRAMES};
use crate::callgrind::{self, Instructions};
use crate::peer::{Orders, Peer, PeerId, Visitor};
use crate::workloads::states;

/// Runs them as any test harness.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::from_args();
    let (null, allocators): (Vec<_>, Vec<_>) =
        PeerId::ALL.iter().copied().partition(|&peer| peer == PeerId::Null);
    let mut trials: Vec<Trial> = allocators
        .into_iter()
        .map(|peer| {
            let name = format!("{}_hands_out_distinct_aligned_blocks", peer.key().replace('-', "_"));
            Trial::test(name, move || peer.visit(Distinct))
        })
        .collect();
    trials.extend(null.into_iter().map(|peer| {
        Trial::test("an_allocator_that_repeats_itself_is_noticed", move || match peer.visit(Distinct) {
            Err(_) => Ok(()),
            Ok(()) => Err("the harness always hands out the same frame".into()),
        })
    }));
    trials.push(Trial::test("instructions_of_a_region_include_its_calls", sums));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What callgrind writes, shortened.
const WRITTEN: &str = "\
events: Ir

fl=src/roi.rs
fn=allocators::roi::roi_alloc
17 30
cfn=allocate
calls=10 4
18 500
fe=src/peer.rs
19 20

fn=allocate
4 500

fn=allocators::roi::roi_free
22 7
";

fn sums() -> Result<(), Failed> {
    let expected = Instructions { alloc: 550, free: 7, init: 0 };
    let sum = callgrind::sum(WRITTEN);
    if sum == expected { Ok(()) } else { Err(format!("{sum:?}, not {expected:?}").into()) }
}

struct Distinct;

impl Visitor for Distinct {
    type Output = Result<(), Failed>;

    fn visit<P: Peer>(self) -> Self::Output {
        let peer = P::new(Arena::new(Backing::Small));
        let largest = match P::ID.orders() {
            Orders::Zero => 0,
            Orders::All => 9,
        };
        let first = peer.first_frame().number();
        let mut owned = HashSet::new();
        let mut live: Vec<(Pfn, Order)> = Vec::new();
        // Twice, with the second on what is left of the first.
        for round in 0..2 {
            for order in (0..=largest).map(Order::new).cycle().take(600) {
                let pfn = peer.alloc(order, Mobility::Movable).ok_or("most is free")?;
                check(order.is_aligned(pfn), "it is aligned", pfn)?;
                for frame in order.block(pfn).iter() {
                    check((first..first + FRAMES).contains(&frame.number()), "it was given to it", frame)?;
                    check(owned.insert(frame), "nobody has it", frame)?;
                }
                live.push((pfn, order));
            }
            live.shuffle(&mut states::random(round));
            let kept = if round == 0 { live.len() / 2 } else { 0 };
            for (pfn, order) in live.drain(kept..) {
                for frame in order.block(pfn).iter() {
                    owned.remove(&frame);
                }
                peer.try_free(pfn, order).map_err(|_| format!("{pfn} of {order} is not taken back"))?;
            }
        }
        // All of it is there again: as many frames as there ever were, each once.
        let frames = states::take(&peer, FRAMES + 1);
        let distinct: HashSet<Pfn> = frames.iter().copied().collect();
        if (frames.len(), distinct.len()) != (FRAMES, FRAMES) {
            return Err(format!("{} frames, {} different ones", frames.len(), distinct.len()).into());
        }
        Ok(())
    }
}

fn check(holds: bool, what: &str, pfn: Pfn) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{pfn}: not so that {what}").into()) }
}
