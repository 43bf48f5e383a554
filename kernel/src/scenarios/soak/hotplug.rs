//! A task that takes memory offline and online, and removes and adds it for another use.

use heapless::Vec;
use pageblock::{
    ContigOptions, Geometry, HotplugError, MemoryUse, NoNotifier, OfflineRange, Pfn, PfnRange, X86_64,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::{Progress, Task};
use crate::memory::{self, allocator};
use crate::scenarios::soak::counts;
use crate::scenarios::soak::driver::{is_quiet, is_stopping};
use crate::scenarios::soak::owners::Owners;
use crate::sync::Lock;

/// The most ranges at a time that are not as they were.
const HELD: usize = 6;
/// The most pageblocks of a range.
const PAGEBLOCKS: usize = 8;

/// A range that is not as it was.
enum Held {
    Offline(OfflineRange),
    MovableOnly(PfnRange),
}

/// What the tasks of all rounds have left.
static CHANGED: Lock<Vec<Held, HELD>> = Lock::new(Vec::new());

/// The task.
pub(super) struct Hotplug {
    rng: SmallRng,
}

impl Hotplug {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed ^ 0x3 << 48) }
    }

    /// A random range of whole pageblocks, anywhere.
    fn range(&mut self) -> PfnRange {
        let span = allocator().span();
        let pageblock = X86_64::PAGEBLOCK_ORDER.pages();
        let first = self.rng.random_range(0..span.end().number() / pageblock);
        let pageblocks = self.rng.random_range(1..=PAGEBLOCKS);
        PfnRange::with_len(Pfn::new(first * pageblock), pageblocks * pageblock)
    }

    fn change(&mut self, held: Held) -> Option<Held> {
        match held {
            Held::MovableOnly(range) => Some(offline(range).map_or(held, Held::Offline)),
            // The pageblocks of the CMA area are to stay what they are.
            Held::Offline(range) if may_be_removed(range.range()) && self.rng.random_ratio(1, 2) => {
                let memory_use = match self.rng.random_ratio(1, 2) {
                    true => MemoryUse::MovableOnly,
                    false => MemoryUse::Ordinary,
                };
                remove_and_add(range.range(), memory_use);
                (memory_use == MemoryUse::MovableOnly).then_some(Held::MovableOnly(range.range()))
            }
            Held::Offline(range) => {
                online(range);
                None
            }
        }
    }
}

fn may_be_removed(range: PfnRange) -> bool {
    memory::cma().is_none_or(|area| !area.range().overlaps(range))
}

fn offline(range: PfnRange) -> Result<OfflineRange, HotplugError> {
    let owners = Owners::new();
    let (offline, _) =
        allocator().offline(range, &owners, &NoNotifier, ContigOptions::default().attempts(2))?;
    counts::HOTPLUG.add(1);
    Ok(offline)
}

fn online(range: OfflineRange) {
    if let Err((range, error)) = allocator().online(range, &NoNotifier) {
        panic!("bringing {} online: {error}", range.range());
    }
    counts::HOTPLUG.add(1);
}

fn remove_and_add(range: PfnRange, memory_use: MemoryUse) {
    if let Err(error) = allocator().remove_memory(range) {
        panic!("removing {range}: {error}");
    }
    if let Err(error) = allocator().add_memory(range, memory_use) {
        panic!("adding {range}: {error}");
    }
    counts::HOTPLUG.add(2);
}

/// Brings all memory online, for the use that it had. No task runs.
///
/// What is offline comes first: it may be a part of a range that is movable-only.
pub(super) fn restore() {
    let changed = core::mem::take(&mut *CHANGED.lock());
    let mut movable_only = Vec::<PfnRange, HELD>::new();
    for held in changed {
        match held {
            Held::Offline(range) => online(range),
            Held::MovableOnly(range) => {
                let full = movable_only.push(range).is_err();
                assert!(!full, "as many as there were at most");
            }
        }
    }
    for range in movable_only {
        match offline(range) {
            Ok(range) => remove_and_add(range.range(), MemoryUse::Ordinary),
            Err(error) => panic!("{range} does not go offline although nothing is allocated there: {error}"),
        }
    }
}

impl Task for Hotplug {
    fn step(&mut self) -> Progress {
        if is_stopping() {
            return Progress::Done;
        }
        if is_quiet() {
            return Progress::Again;
        }
        let mut changed = CHANGED.lock();
        if changed.is_full() || (!changed.is_empty() && self.rng.random_ratio(1, 2)) {
            let index = self.rng.random_range(0..changed.len());
            let held = changed.swap_remove(index);
            if let Some(held) = self.change(held) {
                let full = changed.push(held).is_err();
                assert!(!full, "one was removed above");
            }
        } else if let Ok(offline) = offline(self.range()) {
            let full = changed.push(Held::Offline(offline)).is_err();
            assert!(!full, "it is not full");
        }
        Progress::Again
    }
}
