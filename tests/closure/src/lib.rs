//! Every state that toy machines can reach, and every call from each of them.
//!
//! The states are those of the library itself, compiled as it is for a kernel except for the checks
//! of a debug build. [`search`] says how they are found.
#![cfg(test)]

mod machines;
mod search;

use std::io::Write;

use pageblock::{Geometry, SingleThreaded};

use machines::{Deferred, Four, Machine, Tall, Two};
use search::Search;
use search::machine::{Cpus, Locked, OwnerOnly};
use search::world::World;

/// Searches a machine until no new state appears. Panics if one is wrong, or if there are more than
/// `most`.
fn closes<G: Geometry, P: Cpus>(machine: Machine, most: usize) {
    let mut search = Search::<G, P>::new(World::new(machine.setup, machine.alphabet));
    let found = search.run(most);
    let name = format!("{}, {} pcplists", machine.name, P::MODE);
    // Not with a macro that the test harness captures: the figures are the result.
    let _written = writeln!(std::io::stderr(), "{name}: {found}");
    if let Some(counterexample) = found.counterexample {
        panic!("{name}:\n{counterexample}");
    }
    assert_eq!(found.left, 0, "{name}: the search ended before all states were searched");
    search.walk(20_000, 1);
}

macro_rules! closed {
    ($($(#[$ignored:meta])? $name:ident: $geometry:ident, $mode:ident, $machine:ident, $most:literal;)+) => {
        $(
            #[test]
            $(#[$ignored])?
            fn $name() {
                closes::<$geometry, $mode>(machines::$machine, $most);
            }
        )+
    };
}

closed! {
    four_frames_and_every_call: Two, Locked, EVERY_CALL, 1_000_000;
    four_frames_that_are_plugged: Two, Locked, PLUGGED, 1_000_000;
    four_frames_in_one_tall_pageblock: Tall, OwnerOnly, TALL_PAGEBLOCKS, 1_000_000;
    four_frames_with_a_cma_area: Two, SingleThreaded, WITH_CMA, 1_000_000;
    eight_frames_with_a_cma_area: Four, Locked, WITH_LARGE_CMA, 1_000_000;
    eight_frames_with_two_cpus: Four, Locked, TWO_CPUS, 1_000_000;
    eight_frames_with_two_cpus_that_own_their_pcplists: Four, OwnerOnly, TWO_CPUS, 1_000_000;
    eight_frames_with_guards: Two, Locked, WITH_GUARDS, 1_000_000;
    eight_frames_with_guards_in_larger_pageblocks: Four, Locked, WITH_GUARDS_OF_FOUR, 1_000_000;
    eight_deferred_frames: Deferred, Locked, DEFERRED, 1_000_000;
    six_frames_and_a_watermark: Two, Locked, WATERMARKS, 1_000_000;
    #[ignore = "a minute or more"] every_call_and_mobility: Two, OwnerOnly, EVERY_CALL_AND_MOBILITY, 9_000_000;
    #[ignore = "a minute or more"] deferred_pages: Deferred, Locked, DEFERRED_PAGES, 9_000_000;
    #[ignore = "a minute or more"] two_cpus_and_ranges: Two, OwnerOnly, TWO_CPUS_AND_RANGES, 9_000_000;
    #[ignore = "a minute or more"] eight_frames_and_every_call: Four, Locked, EIGHT_EVERY_CALL, 9_000_000;
    #[ignore = "a minute or more"] movable_and_unmovable_pages: Four, Locked, PAGES, 9_000_000;
}
