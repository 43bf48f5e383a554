//! Random operations on the allocator and on a naive reference model, compared after each step.
//!
//! [`reference`] is the model, with one entry for each frame: what the frame is, and which
//! pageblocks are isolated, as far as a caller can know. [`world`] keeps allocator and model side
//! by side. [`steps`] has the operations; [`blocks`], [`ranges`], [`dma`], [`memory`] and
//! [`records`] do each of them on both, with the outcome predicted where the model can tell. Owners
//! move their blocks when they are asked to, or refuse, or free them, or call the allocator; so do
//! listeners of hotplug. Memory has one shape for each geometry, or is any number of ranges
//! anywhere. After every step all invariants are verified, all counters audited and all counts
//! compared, the guards with those that were announced, and a call that was refused must have
//! changed nothing.
//!
//! [`decode`] makes machines and steps of bytes. They come from proptest here, and from a
//! coverage-guided fuzzer in `tests/fuzz`, which includes this folder. Set `PROPTEST_CASES` for a
//! longer search. What either finds is kept in [`regressions`].

mod blocks;
mod decode;
mod dma;
mod memory;
mod ranges;
mod records;
mod reference;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod search;
mod steps;
mod world;

use pageblock::{CmaArea, Geometry};

use crate::support::{Builder, Spanning, Tall, Toy, Zoned, base, frames, unit};
use decode::{SETUP, STEP, Setup};
use steps::Step;
use world::World;

/// Does the steps on a machine with memory of this shape, and then gives everything back.
fn run<G: Geometry>(shape: &Builder, setup: Setup, steps: impl IntoIterator<Item = Step>) {
    let Some(builder) = setup.machine::<G>(shape) else {
        return;
    };
    let mut bitmap = vec![0; 2 * CmaArea::bitmap_words(World::<G>::area_pages())];
    let mut memory = Vec::new();
    let machine = builder.build_in::<G>(&mut memory);
    if let Some(mut world) = World::new(&machine, setup.cpus, setup.guards > 0, &mut bitmap) {
        for step in steps {
            world.apply(step);
            world.check(step);
        }
        world.clean_up();
    }
}

/// Does what the bytes say: a geometry, a machine, and steps on it. The entry of a fuzzer.
#[cfg_attr(test, expect(dead_code, reason = "proptest has a test for each geometry"))]
pub(crate) fn run_bytes(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    let Some((setup, steps)) = bytes.split_first_chunk::<SETUP>() else {
        return;
    };
    let steps = || steps.as_chunks::<STEP>().0.iter().map(|bytes| Step::decode(*bytes));
    let setup = |wild| Setup::decode(*setup, wild);
    match kind % 16 {
        0..2 => run::<Toy>(&three_zones(), setup(None), steps().take(200)),
        2..5 => run::<Toy>(&three_zones(), setup(Some(80)), steps().take(200)),
        5 => run::<Toy>(&three_zones(), setup(Some(400)), steps().take(200)),
        6..8 => run::<Tall>(&three_zones(), setup(None), steps().take(200)),
        8..11 => run::<Tall>(&three_zones(), setup(Some(80)), steps().take(200)),
        11 | 12 => run::<Spanning>(&one_zone::<Spanning>(), setup(None), steps().take(200)),
        13 | 14 => run::<Spanning>(&three_zones(), setup(Some(128)), steps().take(200)),
        _ => run::<Zoned>(&small_zones(), setup(None), steps().take(60)),
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
