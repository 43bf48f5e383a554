//! The table of scenarios.
//!
//! A new scenario gets an entry here, an implementation in the kernel, and names for its
//! measurements in the protocol's `stat`. The rest of the launcher knows no scenario by name.

use pageblock_protocol::{BootConfig, Scenario, stat};

use crate::image::build::Instruments;
use crate::qemu::accel::Clock;
use crate::qemu::device::Device;
use crate::scenario::spec::{Cpus, Cycle, ScenarioSpec, Setting};

/// The faults that `faults` shows, by the kernel's names. `unpatched` is several of them together.
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

/// The settings of scenarios that run under the load of jobs.
const LOAD: &[Setting] = &[
    Setting::Cpus,
    Setting::Memory,
    Setting::Cma,
    Setting::Jobs,
    Setting::Cycles,
    Setting::Chunk,
    Setting::Seed,
    Setting::Accel,
    Setting::Screen,
];

/// The settings of a soak, which repeats everything for as long as it is told to.
const SOAK: &[Setting] = &[
    Setting::Cpus,
    Setting::Memory,
    Setting::Cma,
    Setting::Jobs,
    Setting::Duration,
    Setting::Seed,
    Setting::Fault,
    Setting::Accel,
    Setting::Screen,
];

/// The settings of a demand that rises and falls, without jobs.
const WAVES: &[Setting] = &[
    Setting::Cpus,
    Setting::Memory,
    Setting::Cycles,
    Setting::Chunk,
    Setting::IntervalMs,
    Setting::Seed,
    Setting::Fault,
    Setting::Accel,
];

/// The settings of a benchmark: it has no jobs, and only emulation counts instructions.
const BENCH: &[Setting] = &[Setting::Cpus, Setting::Memory, Setting::Cma, Setting::Cycles, Setting::Seed];

const CMA: ScenarioSpec = ScenarioSpec {
    scenario: Scenario::Cma,
    about: "contiguous allocations from a CMA area that jobs use",
    instruments: Instruments::None,
    settings: &[LOAD, &[Setting::IntervalMs, Setting::Fault]],
    defaults: BootConfig::DEFAULT,
    cycle: Cycle::Chunk,
    cpus: Cpus::Fixed,
    clock: Clock::Time,
    devices: &[],
    disk_mib: None,
    window_mib: None,
    faults: &[],
    required: &stat::CMA_REQUIRED,
    must_be_zero: &[stat::MISSED_PAGES, stat::MAX_ABS_DRIFT_PAGES, stat::CONTENTS_CORRUPTED],
    must_not_be_zero: &[stat::AUDITS, stat::SUCCEEDED],
    refusals: false,
    row_name: "",
    rows_key: "rows",
};

/// Every scenario. The first is the one that an empty command line runs. Fields that an entry does
/// not name are those of `cma`.
pub const SCENARIOS: [ScenarioSpec; 9] = [
    CMA,
    ScenarioSpec {
        scenario: Scenario::Faults,
        about: "the same with each historical accounting mistake put back",
        instruments: Instruments::Faults,
        faults: &FAULTS,
        required: &stat::FAULTS_REQUIRED,
        must_be_zero: &[stat::CONTENTS_CORRUPTED],
        must_not_be_zero: &[stat::AUDITS],
        row_name: "fault",
        ..CMA
    },
    ScenarioSpec {
        scenario: Scenario::Designs,
        about: "the same under other accounting designs",
        instruments: Instruments::Designs,
        settings: &[LOAD, &[Setting::IntervalMs]],
        required: &stat::DESIGNS_REQUIRED,
        must_be_zero: &[stat::CONTENTS_CORRUPTED],
        row_name: "design",
        ..CMA
    },
    ScenarioSpec {
        scenario: Scenario::Hotplug,
        about: "half of memory taken offline and online again under load",
        defaults: BootConfig { cycles: 20, chunk_mib: 128, ..BootConfig::DEFAULT },
        cycle: Cycle::Blocks,
        required: &stat::HOTPLUG_REQUIRED,
        must_not_be_zero: &[stat::AUDITS, stat::BLOCKS_OFFLINED],
        row_name: "block_mib",
        ..CMA
    },
    ScenarioSpec {
        scenario: Scenario::Dma,
        about: "buffers for a disk from a CMA area that jobs use; the disk is checked",
        settings: &[LOAD, &[Setting::Disk]],
        defaults: BootConfig { cycles: 100, ..BootConfig::DEFAULT },
        cycle: Cycle::Requests,
        devices: &[Device::DISK],
        disk_mib: Some(64),
        required: &stat::DMA_REQUIRED,
        must_be_zero: &[
            stat::MISSED_PAGES,
            stat::MAX_ABS_DRIFT_PAGES,
            stat::CONTENTS_CORRUPTED,
            stat::DISK_CORRUPTED,
        ],
        refusals: true,
        row_name: "device",
        must_not_be_zero: &[stat::REQUESTS],
        ..CMA
    },
    ScenarioSpec {
        scenario: Scenario::Balloon,
        about: "free memory that goes back to the host as the demand rises and falls",
        settings: &[WAVES],
        defaults: BootConfig {
            cma_mib: 0,
            cycles: 3,
            chunk_mib: 800,
            interval_ms: 1000,
            ..BootConfig::DEFAULT
        },
        cycle: Cycle::Waves,
        devices: &[Device::BALLOON],
        required: &stat::BALLOON_REQUIRED,
        must_not_be_zero: &[stat::AUDITS],
        row_name: "figure",
        rows_key: "targets",
        ..CMA
    },
    ScenarioSpec {
        scenario: Scenario::Plug,
        about: "memory that the host lends and takes back under load",
        settings: &[LOAD, &[Setting::IntervalMs, Setting::Window]],
        defaults: BootConfig {
            cma_mib: 64,
            cycles: 200,
            chunk_mib: 256,
            interval_ms: 20,
            ..BootConfig::DEFAULT
        },
        cycle: Cycle::Resizes,
        window_mib: Some(256),
        required: &stat::PLUG_REQUIRED,
        must_not_be_zero: &[stat::AUDITS, stat::SIZES_COMPARED, stat::BLOCKS_UNPLUGGED],
        refusals: true,
        ..CMA
    },
    ScenarioSpec {
        scenario: Scenario::Soak,
        about: "everything at once, for millions of operations or for hours",
        instruments: Instruments::Trace,
        settings: &[SOAK],
        defaults: BootConfig { operations: 20_000_000, jobs: 4, ..BootConfig::DEFAULT },
        cycle: Cycle::Rounds,
        required: &stat::SOAK_REQUIRED,
        must_not_be_zero: &[stat::AUDITS, stat::OPERATIONS],
        ..CMA
    },
    ScenarioSpec {
        scenario: Scenario::Bench,
        about: "guest instructions per operation; how often pcplists miss",
        settings: &[BENCH],
        defaults: BootConfig { cycles: 200, cma_mib: 0, ..BootConfig::DEFAULT },
        cycle: Cycle::Operations,
        cpus: Cpus::EachUpTo,
        clock: Clock::Instructions,
        required: &stat::BENCH_REQUIRED,
        must_be_zero: &[stat::MAX_ABS_DRIFT_PAGES, stat::CONTENTS_CORRUPTED],
        must_not_be_zero: &[stat::ALLOCATIONS_AND_FREES],
        row_name: "workload",
        ..CMA
    },
];

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static ScenarioSpec> {
    SCENARIOS.iter().find(|spec| spec.scenario.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_by_name() {
        for spec in &SCENARIOS {
            assert_eq!(find(spec.scenario.name()).unwrap().scenario, spec.scenario);
        }
        assert!(find("cases").is_none());
        assert!(find("nope").is_none());
    }

    #[test]
    fn a_setting_is_there_once() {
        for spec in &SCENARIOS {
            for (at, setting) in spec.settings.iter().enumerate() {
                assert!(!spec.settings[..at].contains(setting), "{}: {setting:?}", spec.scenario);
            }
        }
    }

    #[test]
    fn what_must_be_zero_must_be_reported() {
        for spec in &SCENARIOS {
            for key in spec.must_be_zero.iter().chain(spec.must_not_be_zero) {
                assert!(spec.required.contains(key), "{key}");
            }
        }
    }
}
