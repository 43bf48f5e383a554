//! Tests of what the measurements rely on.
//!
//! Every adapter hands out naturally aligned blocks of its own frames, no two blocks have a frame
//! in common, and after all frees every frame can be allocated again. The output of callgrind is
//! read correctly.

use std::collections::HashSet;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use pageblock::{Mobility, Order, Pfn};
use rand::seq::SliceRandom as _;

use crate::arena::{Arena, Backing, FRAMES};
use crate::callgrind::{self, Instructions};
use crate::peer::{Orders, Peer, PeerId};
use crate::peers::visit::{Visitor, visit};
use crate::workloads::states;

/// Runs the tests with the options of a test harness.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::from_args();
    let (null, allocators): (Vec<_>, Vec<_>) =
        PeerId::ALL.iter().copied().partition(|&peer| peer == PeerId::Null);
    let mut trials: Vec<Trial> = allocators
        .into_iter()
        .map(|peer| {
            let name = format!("{}_hands_out_distinct_aligned_blocks", peer.key().replace('-', "_"));
            Trial::test(name, move || visit(peer, Distinct))
        })
        .collect();
    trials.extend(null.into_iter().map(|peer| {
        Trial::test("an_allocator_that_repeats_itself_is_noticed", move || match visit(peer, Distinct) {
            Err(_) => Ok(()),
            Ok(()) => Err("the harness always hands out the same frame".into()),
        })
    }));
    trials.push(Trial::test("instructions_of_a_function_include_its_calls", sums));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// An output of callgrind, shortened.
const OUTPUT: &str = "\
events: Ir

fl=src/counted.rs
fn=allocators::counted::counted_alloc
17 30
cfn=allocate
calls=10 4
18 500
fe=src/peer.rs
19 20

fn=allocate
4 500

fn=allocators::counted::counted_free
22 7
";

fn sums() -> Result<(), Failed> {
    let expected = Instructions { alloc: 550, free: 7, init: 0 };
    let sum = callgrind::sum(OUTPUT);
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
        // The second round starts with half of the blocks of the first.
        for round in 0..2 {
            for order in (0..=largest).map(Order::new).cycle().take(600) {
                let pfn = peer.alloc(order, Mobility::Movable).ok_or("the allocation failed")?;
                check(order.is_aligned(pfn), "is not aligned", pfn)?;
                for frame in order.block(pfn).iter() {
                    check(
                        (first..first + FRAMES).contains(&frame.number()),
                        "is not one of its frames",
                        frame,
                    )?;
                    check(owned.insert(frame), "is allocated twice", frame)?;
                }
                live.push((pfn, order));
            }
            live.shuffle(&mut states::random(round));
            let kept = if round == 0 { live.len() / 2 } else { 0 };
            for (pfn, order) in live.drain(kept..) {
                for frame in order.block(pfn).iter() {
                    owned.remove(&frame);
                }
                peer.try_free(pfn, order).map_err(|_| format!("the free of {pfn}, {order}, is refused"))?;
            }
        }
        // Everything is free: each frame can be allocated exactly once.
        let frames = states::take(&peer, FRAMES + 1);
        let distinct: HashSet<Pfn> = frames.iter().copied().collect();
        if (frames.len(), distinct.len()) != (FRAMES, FRAMES) {
            return Err(format!("{} frames, {} of them different", frames.len(), distinct.len()).into());
        }
        Ok(())
    }
}

fn check(holds: bool, otherwise: &str, pfn: Pfn) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{pfn} {otherwise}").into()) }
}
