//! The search: a test for each geometry and shape of memory.

use pageblock::{Geometry, X86_64};
use proptest::array::{uniform6, uniform32};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use super::decode::Setup;
use super::steps::Step;
use super::{one_zone, run, small_zones, three_zones};
use crate::support::{Builder, Even, Spanning, Tall, Toy, Wide, Zoned};

/// Runs sequences of at most `steps` steps on machines with memory of this shape.
fn search<G: Geometry>(name: &'static str, memory: &Builder, steps: usize) {
    search_in::<G>(name, memory, None, steps);
}

/// As [`search`]; with `wild` memory is anywhere below that frame.
fn search_in<G: Geometry>(name: &'static str, memory: &Builder, wild: Option<usize>, steps: usize) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosted/reference_model/regressions.txt");
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 200;
    }
    config.test_name = Some(name);
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(path)));
    let mut runner = TestRunner::new(config);
    let setup = uniform32(any::<u8>()).prop_map(move |bytes| Setup::decode(bytes, wild));
    let step = uniform6(any::<u8>()).prop_map(Step::decode);
    let result = runner.run(&(setup, vec(step, 1..steps)), |(setup, steps)| {
        run::<G>(memory, setup, steps);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn even() {
    search::<Even>("even", &one_zone::<Even>(), 40);
}

#[test]
fn x86_64() {
    search::<X86_64>("x86_64", &one_zone::<X86_64>(), 40);
}

#[test]
fn wide() {
    search::<Wide>("wide", &one_zone::<Wide>(), 40);
}

#[test]
fn toy() {
    search::<Toy>("toy", &three_zones(), 150);
}

#[test]
fn tall() {
    search::<Tall>("tall", &three_zones(), 150);
}

#[test]
fn toy_in_one_zone() {
    search::<Toy>("toy in one zone", &one_zone::<Toy>(), 150);
}

#[test]
fn spanning() {
    search::<Spanning>("spanning", &one_zone::<Spanning>(), 150);
}

#[test]
fn zoned() {
    search::<Zoned>("zoned", &small_zones(), 60);
}

#[test]
fn toy_with_memory_anywhere() {
    search_in::<Toy>("toy with memory anywhere", &three_zones(), Some(80), 150);
}

#[test]
fn tall_with_memory_anywhere() {
    search_in::<Tall>("tall with memory anywhere", &three_zones(), Some(80), 150);
}

#[test]
fn spanning_with_memory_anywhere() {
    search_in::<Spanning>("spanning with memory anywhere", &three_zones(), Some(128), 150);
}
