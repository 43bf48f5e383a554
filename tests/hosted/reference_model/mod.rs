//! Random operations on the allocator and on a naive reference model, compared after each step.
//!
//! [`reference`] is the model, with one entry for each frame: what the frame is, and which
//! pageblocks are isolated, as far as a caller can know. [`world`] keeps allocator and model side
//! by side, [`steps`] does one operation on both, with the outcome predicted where the model can
//! tell. Owners move their blocks when they are asked to, or refuse, or free them, or call the
//! allocator. Memory has one shape for each geometry, or is any number of ranges anywhere. After
//! every step all invariants are verified and all counts are compared. Set
//! `PROPTEST_CASES` for a longer search; what it finds is kept in a file beside this one and tried
//! first from then on.

mod reference;
mod steps;
mod world;

use pageblock::{Geometry, Order, X86_64};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use crate::support::{Builder, Even, Spanning, Tall, Toy, Wide, Zoned, base, frames, unit};
use steps::Step;
use world::World;

/// Steps of all kinds. The numbers are taken modulo what there is to choose from.
fn step() -> impl Strategy<Value = Step> {
    let place = || (any::<u16>(), any::<u16>());
    prop_oneof![
        8 => (0..=11_u8, 0..3_u8, 0..3_u8, 0..3_u8)
            .prop_map(|(order, mobility, zone, depth)| Step::Alloc { order, mobility, zone, depth }),
        6 => any::<u16>().prop_map(Step::Free),
        2 => (any::<u16>(), 0..=12_u8).prop_map(|(place, order)| Step::BadFree { place, order }),
        3 => place().prop_map(|(at, len)| Step::Isolate { at, len }),
        2 => any::<u16>().prop_map(Step::Undo),
        2 => any::<u16>().prop_map(Step::Test),
        3 => place().prop_map(|(at, len)| Step::TakeContig { at, len }),
        2 => (any::<u16>(), place()).prop_map(|(which, (from, len))| Step::FreeContig { which, from, len }),
        2 => (any::<u16>(), 0..4_u8).prop_map(|(len, align)| Step::TakeCma { len, align }),
        2 => (any::<u16>(), place()).prop_map(|(which, (from, len))| Step::ReleaseCma { which, from, len }),
        1 => Just(Step::Drain),
        1 => place().prop_map(|(at, len)| Step::Reserve { at, len }),
        1 => place().prop_map(|(at, len)| Step::Add { at, len }),
        2 => any::<u16>().prop_map(Step::Offline),
        1 => any::<u16>().prop_map(Step::Online),
        3 => (any::<u16>(), place()).prop_map(|(number, (from, len))| Step::FreePart { number, from, len }),
        2 => any::<(u16, bool)>().prop_map(|(which, movable_only)| Step::Replug(which, movable_only)),
        2 => any::<u16>().prop_map(Step::SoftOffline),
        4 => (1..40_u8, 0..40_u8, any::<bool>()).prop_map(|(blocks, hand_over, acknowledged)| {
            Step::Report { blocks, hand_over, acknowledged }
        }),
    ]
}

/// How a machine is tuned.
fn tuning() -> impl Strategy<Value = (usize, Order, u8)> {
    (
        prop_oneof![3 => Just(0_usize), 1 => 1..20_usize],
        prop_oneof![3 => Just(0_u8), 1 => 1..4_u8],
        0..=100_u8,
    )
        .prop_map(|(min, guards, cma)| (min, Order::new(guards), cma))
}

/// Memory and reserved frames anywhere below `end`, overlapping or not.
fn memory(end: usize) -> impl Strategy<Value = Builder> {
    let range = (0..end, 1..end / 2, prop_oneof![3 => Just(true), 1 => Just(false)]);
    vec(range, 1..9).prop_filter_map("no memory", move |ranges| {
        let all = ranges.iter().fold(frames(&[(end - 1, end)]), |memory, &(start, len, usable)| {
            let last = (start + len).min(end);
            if usable { memory.add(start, last) } else { memory.reserve(start, last) }
        });
        (all.usable_frames() > 0).then_some(all)
    })
}

/// Runs sequences of at most `steps` steps on machines with this memory.
fn search<G: Geometry>(name: &'static str, memory: Builder, steps: usize) {
    search_in::<G>(name, Just(memory), steps);
}

/// Runs sequences of at most `steps` steps on machines with memory of any of these shapes.
fn search_in<G: Geometry>(name: &'static str, memory: impl Strategy<Value = Builder>, steps: usize) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosted/reference_model/regressions.txt");
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 200;
    }
    config.test_name = Some(name);
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(path)));
    let mut runner = TestRunner::new(config);
    let cases = (memory, tuning(), vec(step(), 1..steps));
    let result = runner.run(&cases, |(memory, (min, guards, cma), steps)| {
        let memory = memory.min_free(min);
        let machine = memory
            .tune(|tuning| tuning.guard_below(guards.min(G::MAX_ORDER)).cma_first_above(cma))
            .build_as::<G>();
        let Some(mut world) = World::new(&machine, guards > Order::ZERO) else {
            return Ok(());
        };
        for step in steps {
            world.apply(step);
            world.check(step);
        }
        world.clean_up();
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Zone Normal with a hole and odd ends.
fn one_zone<G: Geometry>() -> Builder {
    let (base, unit) = (base::<G>(), unit::<G>());
    frames(&[(base + 3, base + unit + 5), (base + unit + 9, base + 3 * unit)])
}

/// Some memory in each zone of a toy.
fn three_zones() -> Builder {
    frames(&[(2, 14), (16, 47), (48, 80)])
}

#[test]
fn even() {
    search::<Even>("even", one_zone::<Even>(), 40);
}

#[test]
fn x86_64() {
    search::<X86_64>("x86_64", one_zone::<X86_64>(), 40);
}

#[test]
fn wide() {
    search::<Wide>("wide", one_zone::<Wide>(), 40);
}

#[test]
fn toy() {
    search::<Toy>("toy", three_zones(), 150);
}

#[test]
fn tall() {
    search::<Tall>("tall", three_zones(), 150);
}

#[test]
fn toy_in_one_zone() {
    search::<Toy>("toy in one zone", one_zone::<Toy>(), 150);
}

#[test]
fn spanning() {
    search::<Spanning>("spanning", one_zone::<Spanning>(), 150);
}

#[test]
fn zoned() {
    search::<Zoned>("zoned", frames(&[(900, 1100), (1500, 1650), (4096, 4400)]), 60);
}

#[test]
fn toy_with_memory_anywhere() {
    search_in::<Toy>("toy with memory anywhere", memory(80), 150);
}

#[test]
fn tall_with_memory_anywhere() {
    search_in::<Tall>("tall with memory anywhere", memory(80), 150);
}

#[test]
fn spanning_with_memory_anywhere() {
    search_in::<Spanning>("spanning with memory anywhere", memory(128), 150);
}
