//! Random operations on the allocator and on a naive reference model, compared after each step.
//!
//! [`reference`] is the model, with one entry for each frame: what the frame is, and which
//! pageblocks are isolated, as far as a caller can know. [`world`] keeps allocator and model side
//! by side. [`steps`] has the operations; [`blocks`], [`ranges`], [`areas`], [`dma`], [`memory`],
//! [`hotplug`] and [`records`] do each of them on both, with the outcome predicted where the model
//! can tell. [`owners`] move their blocks when they are asked to, or refuse, or free them, or call
//! the allocator; so do listeners of hotplug. Memory has one shape for each geometry, or is any
//! number of ranges anywhere; all of it may be allocated at first, or poisoned when it is freed.
//! Half of the machines make only some kinds of steps, which then occur more often together. After
//! every step all invariants are verified, all counters audited and all counts compared, the guards
//! with those that were announced, and a call that was refused must have changed nothing.
//!
//! [`others`] are CPUs that make calls between the lock holds of a step. [`promises`] has what a
//! machine needs `unsafe` for. [`decode`] makes machines and steps of bytes. They come from
//! proptest here, and from a coverage-guided fuzzer in `tests/fuzz`, which includes this folder.
//! Set `PROPTEST_CASES` for a longer search. What either finds is kept in [`regressions`].

mod areas;
mod blocks;
mod decode;
mod dma;
mod hotplug;
mod memory;
mod others;
mod owners;
mod promises;
mod ranges;
mod records;
mod reference;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod search;
mod steps;
mod world;

use pageblock::{CmaArea, Geometry, Platform};

use crate::support::{Builder, Spanning, Tall, Threads, Toy, Zoned, base, frames, unit};
use decode::{SETUP, STEP, Setup};
use others::Others;
use promises::{Interleaved, Mapped, OwnerOnly};
use steps::Step;
use world::World;

/// Does the steps on a machine with memory of this shape, and then gives everything back.
fn run<G: Geometry>(shape: &Builder, setup: Setup, steps: Vec<Step>) {
    run_on::<_, G>(Threads, shape, setup, steps, |world, step| world.apply(step));
}

/// As [`run`], with CPUs whose pcplists have no lock.
fn run_owner_only<G: Geometry>(shape: &Builder, setup: Setup, steps: Vec<Step>) {
    let platform = OwnerOnly { cpus: setup.cpus };
    run_on::<_, G>(platform, shape, setup, steps, |world, step| world.apply(step));
}

/// As [`run`], with calls of other CPUs between the lock holds of each step.
fn run_interleaved<G: Geometry>(shape: &Builder, setup: Setup, steps: Vec<Step>) {
    let setup = Setup { others: true, ..setup };
    run_on::<Interleaved, G>(Interleaved::default(), shape, setup, steps, |world, step| {
        let machine = world.machine;
        let others = Others::new(machine, setup.cpus, step);
        machine.platform().run(&|| others.may_call(), || world.apply(step));
        others.give_back();
        world.others_have_freed();
    });
}

fn run_on<P: Platform, G: Geometry>(
    platform: P,
    shape: &Builder,
    setup: Setup,
    steps: Vec<Step>,
    mut apply: impl FnMut(&mut World<'_, '_, P, G>, Step),
) {
    let Some(mut builder) = setup.machine::<G>(shape) else {
        return;
    };
    // Not the gigabytes below the memory of large machines.
    let exists = setup.poison && base::<G>() < 1 << 13;
    let mapped = exists.then(|| Mapped::new(2 * base::<G>() + 512));
    if let Some(mapped) = &mapped {
        builder = builder.tune(|tuning| mapped.poisoned(tuning));
    }
    let mut bitmap = vec![0; 2 * CmaArea::bitmap_words(World::<P, G>::area_pages())];
    let mut memory = Vec::new();
    let machine = builder.build_in::<_, G>(platform, &mut memory);
    let Some(mut world) = World::new(&machine, setup, mapped.as_ref(), &mut bitmap) else {
        return;
    };
    let full = Step::Fill { order: 0, mobility: 1, depth: 0, most: u8::MAX };
    let first = setup.full.then_some(full);
    for step in first.into_iter().chain(steps.into_iter().filter(|step| setup.has(*step))) {
        apply(&mut world, step);
        world.check(step);
    }
    world.clean_up();
}

/// A geometry, a machine, and steps on it.
#[derive(Debug)]
pub(crate) struct Case {
    kind: u8,
    setup: Setup,
    steps: Vec<Step>,
}

#[cfg_attr(test, expect(dead_code, reason = "proptest has a test for each geometry"))]
impl Case {
    /// What the bytes say, if there are enough of them.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, bytes) = bytes.split_first()?;
        let (setup, steps) = bytes.split_first_chunk::<SETUP>()?;
        let (kind, wild) = match kind % 20 {
            0..2 => (0, None),
            2..5 => (0, Some(80)),
            5 => (0, Some(400)),
            6..8 => (1, None),
            8..11 => (1, Some(80)),
            11 | 12 => (2, None),
            13 | 14 => (3, Some(128)),
            15 => (4, None),
            16 => (5, Some(80)),
            17 => (7, Some(80)),
            18 => (8, None),
            _ => (6, None),
        };
        let most = if kind == 4 || kind == 6 { 60 } else { 200 };
        let steps = steps.as_chunks::<STEP>().0.iter().take(most);
        let steps = steps.map(|bytes| Step::decode(*bytes)).collect();
        Some(Self { kind, setup: Setup::decode(*setup, wild), steps })
    }

    /// Does it.
    pub(crate) fn run(self) {
        let Self { kind, setup, steps } = self;
        match kind {
            0 => run::<Toy>(&three_zones(), setup, steps),
            1 => run::<Tall>(&three_zones(), setup, steps),
            2 => run::<Spanning>(&one_zone::<Spanning>(), setup, steps),
            3 => run::<Spanning>(&three_zones(), setup, steps),
            4 => run::<Zoned>(&small_zones(), setup, steps),
            5 => run_owner_only::<Toy>(&three_zones(), setup, steps),
            6 => run::<Toy>(&large_zone(), setup, steps),
            7 => run_interleaved::<Toy>(&three_zones(), setup, steps),
            _ => run_interleaved::<Spanning>(&one_zone::<Spanning>(), setup, steps),
        }
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

/// Some memory in each zone of a machine that is a little larger.
fn small_zones() -> Builder {
    frames(&[(900, 1100), (1500, 1650), (4096, 4400)])
}

/// A zone that is large enough for an atomic reserve, which is one percent of it.
fn large_zone() -> Builder {
    frames(&[(48, 460)])
}
