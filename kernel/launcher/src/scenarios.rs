//! The table of scenarios: what each is for, needs and shows.
//!
//! A scenario that is to be added gets an entry here, an implementation in the
//! kernel, and the names of its measurements in the protocol's `stat`. The rest
//! of the launcher knows no scenario by name.

use std::time::Duration;

use pageblock_protocol::{BootConfig, Scenario, stat};

use crate::accel::Clock;
use crate::image::Instruments;

/// What the launcher knows about a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// The word for it.
    pub scenario: Scenario,
    /// One line for `list`.
    pub about: &'static str,
    /// Whether this version can tell it.
    pub state: State,
    /// What its kernel needs beside the allocator.
    pub instruments: Instruments,
    /// What it is told unless the command line says otherwise.
    pub defaults: BootConfig<'static>,
    /// What a cycle is.
    pub cycle: Cycle,
    /// How many CPUs its machines have.
    pub cpus: Cpus,
    /// What their clock goes by.
    pub clock: Clock,
    /// The faults that are shown in a boot each. Empty: one boot tells it all.
    pub faults: &'static [&'static str],
    /// What the kernel must have reported for its word to be believed.
    pub required: &'static [&'static str],
    /// Measurements that must be zero.
    pub must_be_zero: &'static [&'static str],
    /// The column with the rows' names, if the scenario makes a table of its own.
    pub row_name: &'static str,
}

/// Whether a scenario can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    Ready,
    /// Not by this version.
    Planned,
}

/// What a scenario does so many times, with so much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// Takes a chunk out of the CMA area.
    Chunk,
    /// Takes half of memory offline in blocks, and brings it back.
    Blocks,
    /// Allocates or frees blocks of random orders, a thousand times.
    Operations,
}

/// How many CPUs a scenario's machines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// Each as many as are asked for.
    Asked,
    /// One to as many as are asked for, a boot for each number.
    EachUpTo,
}

impl Cpus {
    /// What is asked for by saying nothing.
    pub const fn default_number(self) -> u32 {
        match self {
            Self::Asked => 4,
            Self::EachUpTo => 8,
        }
    }
}

impl Cycle {
    /// How long one may take on a slow machine.
    const fn patience(self) -> Duration {
        match self {
            Self::Chunk | Self::Operations => Duration::ZERO,
            Self::Blocks => Duration::from_secs(30),
        }
    }
}

/// What the rows of `faults` are about, and what all of them together do. The kernel knows them by name.
const FAULTS: [&str; 10] = [
    "unpatched",
    "guard-counted",
    "cached-type-at-spill",
    "stale-isolated",
    "stale-normal",
    "moved-means-found",
    "merge-across",
    "freed-block-only",
    "first-block-only",
    "guard-not-counted",
];

/// Every scenario that can be asked for.
pub const STORIES: [Story; 6] = [
    Story {
        scenario: Scenario::Cma,
        about: "contiguous allocations out of a CMA area while jobs use the memory",
        state: State::Ready,
        instruments: Instruments::None,
        defaults: BootConfig::DEFAULT,
        cycle: Cycle::Chunk,
        cpus: Cpus::Asked,
        clock: Clock::Time,
        faults: &[],
        required: &stat::CMA_REQUIRED,
        must_be_zero: &[stat::MISSED_PAGES, stat::MAX_ABS_DRIFT_PAGES, stat::CONTENTS_CORRUPTED],
        row_name: "",
    },
    Story {
        scenario: Scenario::Faults,
        about: "the same with each historical accounting mistake put back",
        state: State::Ready,
        instruments: Instruments::Faults,
        defaults: BootConfig::DEFAULT,
        cycle: Cycle::Chunk,
        cpus: Cpus::Asked,
        clock: Clock::Time,
        faults: &FAULTS,
        required: &stat::FAULTS_REQUIRED,
        must_be_zero: &[stat::CONTENTS_CORRUPTED],
        row_name: "fault",
    },
    Story {
        scenario: Scenario::Designs,
        about: "the same under other accounting designs",
        state: State::Ready,
        instruments: Instruments::Designs,
        defaults: BootConfig::DEFAULT,
        cycle: Cycle::Chunk,
        cpus: Cpus::Asked,
        clock: Clock::Time,
        faults: &[],
        required: &stat::DESIGNS_REQUIRED,
        must_be_zero: &[stat::CONTENTS_CORRUPTED],
        row_name: "design",
    },
    Story {
        scenario: Scenario::Hotplug,
        about: "half of memory taken offline and online again under load",
        state: State::Ready,
        instruments: Instruments::None,
        defaults: BootConfig { cycles: 20, chunk_mib: 128, ..BootConfig::DEFAULT },
        cycle: Cycle::Blocks,
        cpus: Cpus::Asked,
        clock: Clock::Time,
        faults: &[],
        required: &stat::HOTPLUG_REQUIRED,
        must_be_zero: &[stat::MISSED_PAGES, stat::MAX_ABS_DRIFT_PAGES, stat::CONTENTS_CORRUPTED],
        row_name: "block_mib",
    },
    Story {
        scenario: Scenario::Soak,
        about: "everything at once, for as long as wanted",
        state: State::Planned,
        instruments: Instruments::None,
        defaults: BootConfig::DEFAULT,
        cycle: Cycle::Chunk,
        cpus: Cpus::Asked,
        clock: Clock::Time,
        faults: &[],
        required: &[],
        must_be_zero: &[],
        row_name: "",
    },
    Story {
        scenario: Scenario::Bench,
        about: "guest instructions for each operation; how often it leaves its CPU's own lists",
        state: State::Ready,
        instruments: Instruments::None,
        defaults: BootConfig { cycles: 200, cma_mib: 0, ..BootConfig::DEFAULT },
        cycle: Cycle::Operations,
        cpus: Cpus::EachUpTo,
        clock: Clock::Instructions,
        faults: &[],
        required: &stat::BENCH_REQUIRED,
        must_be_zero: &[stat::MAX_ABS_DRIFT_PAGES, stat::CONTENTS_CORRUPTED],
        row_name: "workload",
    },
];

impl Story {
    /// The story of that name.
    pub fn from_name(name: &str) -> Option<&'static Self> {
        STORIES.iter().find(|story| story.scenario.name() == name)
    }

    /// How long a run may take in all: several times what a slow machine needs.
    pub fn deadline(&self, config: &BootConfig<'_>) -> Duration {
        const BASE: Duration = Duration::from_secs(300);
        let interval = Duration::from_millis(config.interval_ms.into());
        BASE + (interval * 2 + self.cycle.patience()) * config.cycles
    }

    /// How long the guest may be silent.
    pub fn silence(&self, config: &BootConfig<'_>) -> Duration {
        const BASE: Duration = Duration::from_secs(60);
        BASE + Duration::from_millis(config.interval_ms.into()) * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stories_are_found_by_name() {
        for story in &STORIES {
            let found = Story::from_name(story.scenario.name()).unwrap();
            assert_eq!(found.scenario, story.scenario);
        }
        assert!(Story::from_name("cases").is_none());
        assert!(Story::from_name("nope").is_none());
    }

    #[test]
    fn what_must_be_zero_must_be_reported() {
        for story in &STORIES {
            for key in story.must_be_zero {
                assert!(story.required.contains(key), "{key}");
            }
        }
    }

    #[test]
    fn slow_paces_get_more_time() {
        let story = Story::from_name("cma").unwrap();
        let config = BootConfig { interval_ms: 5000, ..BootConfig::default() };
        assert!(story.deadline(&config) > Duration::from_secs(5 * 30 + 60));
        assert!(story.silence(&config) > Duration::from_secs(5 + 30));
        assert!(story.deadline(&BootConfig::default()) < story.deadline(&config));
        let hotplug = Story::from_name("hotplug").unwrap();
        assert!(hotplug.deadline(&hotplug.defaults) > Duration::from_secs(600));
    }
}
