//! A breadth-first search of the states of a toy machine.
//!
//! | file | what it has |
//! |---|---|
//! | [`call`] | [`Call`]: a call of the allocator, and how it reads |
//! | [`machine`] | a machine whose state is copied and put back |
//! | [`model`] | what each frame is to the callers, and what a call makes of it |
//! | [`world`] | makes the calls, and checks them and the states |
//!
//! From each state it makes every call. A state that it meets again, by all that later calls depend
//! on ([`PageAllocator::hash_state`](pageblock::PageAllocator::hash_state)), is not searched again.
//! When no state is left that has not been searched, the states that it found are all that there
//! are, after any number of these calls. As the search goes by the number of calls, the first wrong
//! state has the fewest calls that lead to one.

pub(crate) mod call;
pub(crate) mod machine;
mod model;
pub(crate) mod world;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};
use std::time::{Duration, Instant};

use pageblock::{Geometry, ZoneCensus};

use call::Call;
use machine::{Cpus, Difference, Image};
use world::{Key, World, Wrong};

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    /// Calls made, each from one state.
    pub(crate) transitions: u64,
    /// The most calls that it takes to reach a state.
    pub(crate) depth: usize,
    pub(crate) time: Duration,
    /// How many of the states have frames of each kind.
    pub(crate) seen: Seen,
    /// States that were not searched, because the search ended before.
    pub(crate) left: usize,
    /// The calls that lead to the first wrong state, and what is wrong.
    pub(crate) counterexample: Option<Counterexample>,
}

/// The number of states that have frames of a kind: what a closed machine says something about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) cached: usize,
    pub(crate) isolated: usize,
    pub(crate) guard: usize,
    pub(crate) allocated: usize,
    pub(crate) offline: usize,
}

impl Seen {
    fn add(&mut self, census: &ZoneCensus) {
        for (count, pages) in [
            (&mut self.cached, census.cached),
            (&mut self.isolated, census.isolated),
            (&mut self.guard, census.guard),
            (&mut self.allocated, census.allocated),
            (&mut self.offline, census.offline),
        ] {
            *count += usize::from(pages > 0);
        }
    }
}

/// The fewest calls after which something is wrong.
#[derive(Debug)]
pub(crate) struct Counterexample {
    pub(crate) calls: Vec<(Call, String)>,
    pub(crate) wrong: Wrong,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, transitions, depth, time, left, .. } = self;
        let seconds = time.as_secs_f64();
        write!(f, "{states} states, {transitions} transitions, depth {depth}, {seconds:.1} s")?;
        match left {
            0 => f.write_str(", no state left"),
            _ => write!(f, ", {left} states left"),
        }?;
        let Seen { cached, isolated, guard, allocated, offline } = self.seen;
        write!(
            f,
            " (with frames allocated {allocated}, cached {cached}, isolated {isolated}, guards {guard}, \
             offline {offline})"
        )
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (call, answer)) in self.calls.iter().enumerate() {
            let arrow = if answer.is_empty() { "" } else { " -> " };
            writeln!(f, "{:>3}. {call}{arrow}{answer}", number + 1)?;
        }
        write!(f, "     {}", self.wrong)
    }
}

/// Takes a hash as it is.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// 128 bits of a key: two states of one search have the same ones with a probability of less than
/// the square of their number by 2^128.
fn hash(key: &[u8]) -> u128 {
    let half = |first: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(first);
        hasher.write(key);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// A search, and what it has found so far.
pub(crate) struct Search<G: Geometry, P: Cpus> {
    world: World<G, P>,
    known: HashMap<u128, u32, BuildHasherDefault<AsItIs>>,
    /// By state: the state before, and the call between.
    paths: Vec<(u32, Call)>,
    /// By state.
    images: Vec<Difference>,
    base: Image,
    transitions: u64,
    seen: Seen,
}

impl<G: Geometry, P: Cpus> Search<G, P> {
    pub(crate) fn new(world: World<G, P>) -> Self {
        let mut base = Image::default();
        world.machine.save(&mut base);
        Self {
            world,
            known: HashMap::default(),
            paths: Vec::new(),
            images: Vec::new(),
            base,
            transitions: 0,
            seen: Seen::default(),
        }
    }

    /// Searches until no new state appears, or there are `most` states.
    pub(crate) fn run(&mut self, most: usize) -> Found {
        let begun = Instant::now();
        let (mut image, mut after) = (Image::default(), Image::default());
        let (mut key, mut scratch, mut calls) = (Key::default(), Key::default(), Vec::new());
        self.world.key(&mut key);
        self.known.insert(hash(&key.0), 0);
        self.paths.push((0, Call::Drain));
        self.images.push(Difference::default());
        let mut wrong = None;
        match self.world.check(&self.world.model(), &key.0, &mut scratch) {
            Ok(census) => self.seen.add(&census),
            Err(found) => wrong = Some((0, None, found)),
        }
        let mut at = 0;
        while wrong.is_none() && at < self.images.len() && self.images.len() < most {
            image.apply(&self.base, &self.images[at]);
            self.world.machine.restore(&image);
            let model = self.world.model();
            self.world.calls(&model, &mut calls);
            for call in &calls {
                self.world.machine.restore(&image);
                self.transitions += 1;
                if let Err(found) = self.world.call(*call, &model) {
                    wrong = Some((at, Some(*call), found));
                    break;
                }
                self.world.key(&mut key);
                let id = self.images.len() as u32;
                if *self.known.entry(hash(&key.0)).or_insert(id) != id {
                    continue;
                }
                self.world.machine.save(&mut after);
                self.paths.push((at as u32, *call));
                self.images.push(after.against(&self.base));
                let model = self.world.model();
                match self.world.check(&model, &key.0, &mut scratch) {
                    Ok(census) => self.seen.add(&census),
                    Err(found) => {
                        wrong = Some((id as usize, None, found));
                        break;
                    }
                }
            }
            at += 1;
        }
        let depth = self.path(self.images.len() - 1).len();
        Found {
            states: self.images.len(),
            transitions: self.transitions,
            depth,
            time: begun.elapsed(),
            seen: self.seen,
            left: self.images.len() - at,
            counterexample: wrong.map(|(state, last, wrong)| self.counterexample(state, last, wrong)),
        }
    }

    /// The calls that lead to a state.
    fn path(&self, mut state: usize) -> Vec<Call> {
        let mut path = Vec::new();
        while state != 0 {
            let (before, call) = self.paths[state];
            path.push(call);
            state = before as usize;
        }
        path.reverse();
        path
    }

    /// The calls that lead to a state, and one more.
    fn counterexample(&mut self, state: usize, last: Option<Call>, wrong: Wrong) -> Counterexample {
        let mut path = self.path(state);
        path.extend(last);
        self.world.machine.restore(&self.base);
        let mut calls = Vec::new();
        for call in path {
            let model = self.world.model();
            calls.push((call, self.world.call(call, &model).unwrap_or_default()));
        }
        Counterexample { calls, wrong }
    }

    /// Checks that what the key of a state leaves out makes no difference.
    ///
    /// Goes on from call to call without putting a state back, so that what no call reads is
    /// whatever earlier calls left there. Each call must lead to the state that it leads to from
    /// the copy of the state that the search made.
    pub(crate) fn walk(&mut self, steps: usize, mut seed: u64) {
        let (mut live, mut copy) = (Image::default(), Image::default());
        let (mut key, mut calls) = (Key::default(), Vec::new());
        self.world.machine.restore(&self.base);
        for step in 0..steps {
            self.world.machine.save(&mut live);
            self.world.key(&mut key);
            let state = self.known[&hash(&key.0)];
            let model = self.world.model();
            self.world.calls(&model, &mut calls);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let call = calls[(seed >> 33) as usize % calls.len()];
            copy.apply(&self.base, &self.images[state as usize]);
            self.world.machine.restore(&copy);
            let from_copy = self.world.call(call, &model);
            self.world.key(&mut key);
            let expected = hash(&key.0);
            self.world.machine.restore(&live);
            let from_live = self.world.call(call, &model);
            self.world.key(&mut key);
            assert_eq!((from_live, hash(&key.0)), (from_copy, expected), "step {step}: {call}");
        }
    }
}
