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
use search::machine::{Cpus, Locked, OwnerOnly};
use search::world::World;
use search::{Found, Search};

/// Searches a machine until no new state appears, or there are `most`. Panics if one is wrong.
fn search<G: Geometry, P: Cpus>(machine: Machine, most: usize) -> (Search<G, P>, Found) {
    let mut search = Search::<G, P>::new(World::new(machine.setup, machine.alphabet));
    let found = search.run(most);
    let name = format!("{}, {} pcplists", machine.name, P::MODE);
    // Not with a macro that the test harness captures: the figures are the result.
    let _written = writeln!(std::io::stderr(), "{name}: {found}");
    if let Some(counterexample) = &found.counterexample {
        panic!("{name}:\n{counterexample}");
    }
    (search, found)
}

/// Searches a machine until no new state appears. Panics if one is wrong, or if there are `most`.
fn closes<G: Geometry, P: Cpus>(machine: Machine, most: usize) {
    let (mut search, found) = search::<G, P>(machine, most);
    assert_eq!(found.left, 0, "{}: the search ended before all states were searched", machine.name);
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
    eight_frames_with_guards_of_two_pageblocks: Two, Locked, WITH_GUARDS_OF_TWO_PAGEBLOCKS, 1_000_000;
    eight_frames_with_guards_in_larger_pageblocks: Four, Locked, WITH_GUARDS_OF_FOUR, 1_000_000;
    eight_deferred_frames: Deferred, Locked, DEFERRED, 1_000_000;
    four_frames_that_are_reported: Two, Locked, REPORTED, 1_000_000;
    eight_frames_that_are_reported: Two, Locked, REPORTED_LARGE, 1_000_000;
    six_frames_and_a_watermark: Two, Locked, WATERMARKS, 1_000_000;
    #[ignore = "a minute or more"] every_call_and_mobility: Two, OwnerOnly, EVERY_CALL_AND_MOBILITY, 2_000_000;
    #[ignore = "a minute or more"] guards_and_ranges: Two, Locked, GUARDS_AND_RANGES, 2_000_000;
    #[ignore = "a minute or more"] deferred_pages: Deferred, Locked, DEFERRED_PAGES, 2_000_000;
    #[ignore = "a minute or more"] two_cpus_and_ranges: Two, OwnerOnly, TWO_CPUS_AND_RANGES, 2_000_000;
    #[ignore = "a minute or more"] movable_and_unmovable_pages: Four, Locked, PAGES, 2_000_000;
}

/// A machine with too many states to search all of them: the nearest ones are.
#[test]
#[ignore = "a minute or more"]
fn eight_frames_and_every_call_do_not_close() {
    let (_, found) = search::<Four, Locked>(machines::EIGHT_EVERY_CALL, 300_000);
    assert!(found.left > 0, "it closes, and says more than the guide claims");
}
