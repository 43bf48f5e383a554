//! The search: a test for each geometry and shape of memory.

use pageblock::X86_64;
use proptest::array::{uniform, uniform6};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use super::decode::{SETUP, Setup};
use super::steps::Step;
use super::{large_zone, one_zone, run, run_interleaved, run_owner_only, small_zones, three_zones};
use crate::support::{Even, Spanning, Tall, Toy, Wide, Zoned};

/// So many sequences of at most `steps` steps, unless the environment says how many.
#[derive(Clone, Copy)]
struct Search {
    name: &'static str,
    cases: u32,
    steps: usize,
    /// Memory is anywhere below this frame.
    wild: Option<usize>,
}

impl Search {
    /// One of a machine with a few dozen frames.
    const fn small(name: &'static str) -> Self {
        Self { name, cases: 200, steps: 150, wild: None }
    }

    /// One of a machine with some hundred frames or more.
    const fn large(name: &'static str) -> Self {
        Self { name, cases: 60, steps: 40, wild: None }
    }

    /// Makes machines and steps, and does them with `run`.
    fn search(self, run: fn(Setup, Vec<Step>)) {
        let Self { name, cases, steps, wild } = self;
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosted/reference_model/regressions.txt");
        let mut config = ProptestConfig::default();
        if std::env::var_os("PROPTEST_CASES").is_none() {
            config.cases = cases;
        }
        config.test_name = Some(name);
        config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(path)));
        let mut runner = TestRunner::new(config);
        let setup = uniform::<_, SETUP>(any::<u8>()).prop_map(move |bytes| Setup::decode(bytes, wild));
        let step = uniform6(any::<u8>()).prop_map(Step::decode);
        let result = runner.run(&(setup, vec(step, 1..steps)), |(setup, steps)| {
            run(setup, steps);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
    }
}

#[test]
fn even() {
    Search::large("even").search(|setup, steps| run::<Even>(&one_zone::<Even>(), setup, steps));
}

#[test]
fn x86_64() {
    Search::large("x86_64").search(|setup, steps| run::<X86_64>(&one_zone::<X86_64>(), setup, steps));
}

#[test]
fn wide() {
    Search::large("wide").search(|setup, steps| run::<Wide>(&one_zone::<Wide>(), setup, steps));
}

#[test]
fn zoned() {
    let search = Search { steps: 60, ..Search::large("zoned") };
    search.search(|setup, steps| run::<Zoned>(&small_zones(), setup, steps));
}

#[test]
fn toy() {
    Search::small("toy").search(|setup, steps| run::<Toy>(&three_zones(), setup, steps));
}

#[test]
fn toy_in_one_zone() {
    Search::small("toy in one zone").search(|setup, steps| run::<Toy>(&one_zone::<Toy>(), setup, steps));
}

/// Large enough for an atomic reserve.
#[test]
fn toy_with_a_reserve() {
    Search::large("toy with a reserve").search(|setup, steps| run::<Toy>(&large_zone(), setup, steps));
}

#[test]
fn toy_with_owner_only_pcplists() {
    let search = Search { wild: Some(80), ..Search::small("toy with owner-only pcplists") };
    search.search(|setup, steps| run_owner_only::<Toy>(&three_zones(), setup, steps));
}

#[test]
fn tall() {
    Search::small("tall").search(|setup, steps| run::<Tall>(&three_zones(), setup, steps));
}

#[test]
fn spanning() {
    Search::small("spanning").search(|setup, steps| run::<Spanning>(&one_zone::<Spanning>(), setup, steps));
}

#[test]
fn toy_with_memory_anywhere() {
    let search = Search { wild: Some(80), ..Search::small("toy with memory anywhere") };
    search.search(|setup, steps| run::<Toy>(&three_zones(), setup, steps));
}

#[test]
fn tall_with_memory_anywhere() {
    let search = Search { wild: Some(80), ..Search::small("tall with memory anywhere") };
    search.search(|setup, steps| run::<Tall>(&three_zones(), setup, steps));
}

#[test]
fn spanning_with_memory_anywhere() {
    let search = Search { wild: Some(128), ..Search::small("spanning with memory anywhere") };
    search.search(|setup, steps| run::<Spanning>(&three_zones(), setup, steps));
}

#[test]
fn toy_with_calls_of_other_cpus() {
    let search = Search { wild: Some(80), ..Search::small("toy with calls of other CPUs") };
    search.search(|setup, steps| run_interleaved::<Toy>(&three_zones(), setup, steps));
}

#[test]
fn spanning_with_calls_of_other_cpus() {
    Search::small("spanning with calls of other CPUs")
        .search(|setup, steps| run_interleaved::<Spanning>(&one_zone::<Spanning>(), setup, steps));
}
