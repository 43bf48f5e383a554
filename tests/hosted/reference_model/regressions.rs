//! What proptest and the fuzzer found, each as the fewest steps that show it.

use super::decode::Setup;
use super::steps::Step;
use super::{one_zone, run, three_zones};
use crate::support::{Spanning, Tall, Toy};

/// Does the steps on the small machines, whichever of them it was that failed.
fn again(min: usize, guards: u8, steps: &[Step]) {
    let setup = Setup { min, guards, cma: 0, cpus: 1, wild: None };
    for shape in [three_zones(), one_zone::<Toy>()] {
        run::<Toy>(&shape, setup, steps.iter().copied());
        run::<Tall>(&shape, setup, steps.iter().copied());
        run::<Spanning>(&shape, setup, steps.iter().copied());
    }
}

#[test]
fn case_1() {
    again(
        15,
        2,
        &[
            Step::Reserve { at: 51786, len: 14084 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 3, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 0, mobility: 2, zone: 1, depth: 0 },
            Step::Free(5528),
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::TakeContig { at: 30115, len: 2389, hard: 1 },
            Step::Alloc { order: 0, mobility: 0, zone: 2, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 0, mobility: 2, zone: 1, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 2, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::TakeContig { at: 52906, len: 7497, hard: 1 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 1, mobility: 0, zone: 1, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 2, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 1, mobility: 0, zone: 1, depth: 0 },
            Step::Alloc { order: 4, mobility: 0, zone: 1, depth: 0 },
        ],
    );
}

#[test]
fn case_2() {
    again(
        7,
        2,
        &[
            Step::Isolate { at: 1806, len: 17033 },
            Step::Alloc { order: 4, mobility: 0, zone: 0, depth: 0 },
            Step::Alloc { order: 4, mobility: 0, zone: 0, depth: 0 },
        ],
    );
}

#[test]
fn case_3() {
    again(
        0,
        3,
        &[
            Step::Alloc { order: 6, mobility: 2, zone: 2, depth: 0 },
            Step::Isolate { at: 12088, len: 14885 },
            Step::Free(0),
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
        ],
    );
}

#[test]
fn case_4() {
    again(
        0,
        2,
        &[
            Step::TakeContig { at: 44261, len: 185, hard: 1 },
            Step::TakeContig { at: 27325, len: 30525, hard: 1 },
            Step::TakeContig { at: 2881, len: 31809, hard: 1 },
            Step::Undo(0),
            Step::Alloc { order: 0, mobility: 0, zone: 2, depth: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::Isolate { at: 6388, len: 13064 },
            Step::Free(0),
            Step::Test(0),
            Step::FreeContig { which: 0, from: 0, len: 0 },
            Step::Test(0),
            Step::Reserve { at: 17283, len: 17338 },
        ],
    );
}

#[test]
fn case_5() {
    again(
        0,
        0,
        &[
            Step::ReleaseCma { which: 0, from: 0, len: 0 },
            Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
            Step::SoftOffline(53848),
            Step::SoftOffline(50587),
            Step::Offline { at: 12020, listener: 0 },
            Step::Offline { at: 10748, listener: 0 },
            Step::Replug(1, false),
        ],
    );
}
