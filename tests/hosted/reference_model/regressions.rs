//! What proptest and the fuzzer found, each as the fewest steps that show it.

use super::decode::{SETUP, Setup};
use super::steps::Step;
use super::{one_zone, run, three_zones};
use crate::support::{Spanning, Tall, Toy};

/// A machine with one CPU, whose owners move when they are asked to.
const QUIET: Setup = Setup {
    min: 0,
    guards: 0,
    cma: 0,
    cpus: 1,
    busy_owners: false,
    poison: false,
    full: false,
    without: 0,
    others: false,
    wild: None,
};

/// Does the steps on the small machines, whichever of them it was that failed.
fn again(min: usize, guards: u8, steps: &[Step]) {
    let setup = Setup { min, guards, cma: 0, ..QUIET };
    for shape in [three_zones(), one_zone::<Toy>()] {
        run::<Toy>(&shape, setup, steps.to_vec());
        run::<Tall>(&shape, setup, steps.to_vec());
        run::<Spanning>(&shape, setup, steps.to_vec());
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

/// Found by the fuzzer: the model took a pageblock whose frames are all retired for one that says
/// that it is online.
#[test]
fn a_pageblock_of_retired_frames_goes_online() {
    let setup = Setup { min: 0, guards: 3, cma: 46, cpus: 2, ..QUIET };
    let steps = [
        Step::SoftOffline(12891),
        Step::Offline { at: 38036, listener: 240 },
        Step::SoftOffline(33940),
        Step::Online { which: 47610, listener: 129 },
    ];
    run::<Spanning>(&one_zone::<Spanning>(), setup, steps.to_vec());
}

/// Found by the fuzzer: a block migrates out of a range, and its bad frame is retired there. The
/// model did not know that this frame, which is in the way then, is bad.
#[test]
fn a_bad_frame_stays_in_a_range_that_its_block_has_left() {
    let setup = Setup { min: 6, guards: 0, cma: 24, cpus: 3, ..QUIET };
    let steps = [
        Step::Alloc { order: 4, mobility: 1, zone: 2, depth: 0 },
        Step::Split { number: 53357, into: 8 },
        Step::AllocBulk { order: 2, mobility: 1, depth: 0, blocks: 6 },
        Step::Alloc { order: 1, mobility: 1, zone: 0, depth: 1 },
        Step::Free(14002),
        Step::Alloc { order: 6, mobility: 0, zone: 0, depth: 0 },
        Step::Alloc { order: 9, mobility: 1, zone: 0, depth: 2 },
        Step::Free(20665),
        Step::Alloc { order: 10, mobility: 1, zone: 1, depth: 0 },
        Step::FreePart { number: 164, from: 10869, len: 2721 },
        Step::Free(10568),
        Step::Free(50309),
        Step::Alloc { order: 9, mobility: 0, zone: 0, depth: 0 },
        Step::AllocBulk { order: 2, mobility: 2, depth: 0, blocks: 6 },
        Step::Alloc { order: 9, mobility: 2, zone: 1, depth: 1 },
        Step::Alloc { order: 8, mobility: 1, zone: 0, depth: 0 },
        Step::SoftOffline(52236),
        Step::FreeBulk { number: 45396, blocks: 16, bad: 113 },
        Step::TakeContig { at: 37804, len: 50869, hard: 198 },
    ];
    run::<Toy>(&three_zones(), setup, steps.to_vec());
}

/// Found by proptest: memory beside a guard was removed, and the guard stayed for ever, because
/// what it could have merged with was gone.
#[test]
fn a_guard_ends_when_memory_that_it_guards_is_removed() {
    let mut bytes = [0; SETUP];
    bytes[8..10].copy_from_slice(&[166, 160]);
    let setup = Setup { guards: 3, ..Setup::decode(bytes, Some(128)) };
    let steps = [
        Step::AllocBulk { order: 2, mobility: 0, depth: 0, blocks: 3 },
        Step::Free(15876),
        Step::Free(14),
        Step::FreePart { number: 0, from: 0, len: 20 },
        Step::Free(0),
        Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
        Step::Offline { at: 2464, listener: 28 },
        Step::Replug(10932, false),
    ];
    run::<Spanning>(&three_zones(), setup, steps.to_vec());
}

/// Found by proptest: in a zone below its low mark a few pages of movable-only memory, to which no
/// mark applies, became free, and movable requests did not go to that zone.
#[test]
fn free_movable_only_pages_raise_a_zone_that_is_below_its_mark() {
    let setup = Setup { min: 14, guards: 0, cma: 0, ..QUIET };
    let steps = [
        Step::SoftOffline(16690),
        Step::AllocBulk { order: 2, mobility: 1, depth: 0, blocks: 5 },
        Step::Free(513),
        Step::Free(11),
        Step::Offline { at: 5466, listener: 40 },
        Step::Free(0),
        Step::BadFree { place: 0, order: 0 },
        Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
        Step::Offline { at: 60642, listener: 0 },
        Step::Alloc { order: 5, mobility: 0, zone: 0, depth: 0 },
        Step::ContigPages { pages: 1030, align: 0, below: 92 },
        Step::Alloc { order: 9, mobility: 0, zone: 1, depth: 0 },
        Step::AllocExact { pages: 4177, align: 4, mobility: 0, depth: 0 },
        Step::Alloc { order: 2, mobility: 0, zone: 0, depth: 0 },
        Step::Free(9223),
        Step::Alloc { order: 0, mobility: 0, zone: 2, depth: 0 },
        Step::Alloc { order: 0, mobility: 2, zone: 0, depth: 0 },
        Step::Alloc { order: 0, mobility: 0, zone: 0, depth: 0 },
        Step::Replug(11521, true),
        Step::TakeCma { len: 207, align: 0 },
        Step::Free(0),
        Step::Alloc { order: 11, mobility: 0, zone: 0, depth: 0 },
        Step::Free(1),
        Step::AllocBulk { order: 0, mobility: 1, depth: 2, blocks: 15 },
        Step::Isolate { at: 6093, len: 51564 },
        Step::BadFree { place: 0, order: 0 },
        Step::AllocBulk { order: 2, mobility: 1, depth: 0, blocks: 1 },
        Step::Free(29977),
        Step::AllocBulk { order: 2, mobility: 0, depth: 2, blocks: 2 },
    ];
    for shape in [three_zones(), one_zone::<Toy>()] {
        run::<Toy>(&shape, setup, steps.to_vec());
        run::<Tall>(&shape, setup, steps.to_vec());
        run::<Spanning>(&shape, setup, steps.to_vec());
    }
}
