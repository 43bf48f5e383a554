//! The description of a scenario: what its guest needs and what its run must report.

use std::time::Duration;

use pageblock_protocol::{BootConfig, Scenario};

use crate::image::build::Instruments;
use crate::qemu::accel::Clock;
use crate::qemu::device::Device;

/// What the launcher knows about a scenario.
#[derive(Clone, Copy, Debug)]
pub struct ScenarioSpec {
    /// The kernel's name for the scenario.
    pub scenario: Scenario,
    /// One line for `list`.
    pub about: &'static str,
    /// The features that its kernel is built with.
    pub instruments: Instruments,
    /// What its command line can set, beside what that of every scenario can: all of these groups.
    pub settings: &'static [&'static [Setting]],
    /// The values of the settings that the command line does not give.
    pub defaults: BootConfig<'static>,
    /// What `--cycles` and `--chunk` mean.
    pub cycle: Cycle,
    /// What `--cpus` means.
    pub cpus: Cpus,
    /// What advances the guest's clock.
    pub clock: Clock,
    /// The devices that its guest has.
    pub devices: &'static [Device],
    /// The size of the guest's disk, if one of the devices is one. Its property is `drive=disk`.
    pub disk_mib: Option<u32>,
    /// The size of the window of the guest's memory device, if it has one.
    pub window_mib: Option<u32>,
    /// The faults that are shown unless `--fault` names one, with one boot for each. If there are
    /// none, the scenario takes one boot.
    pub faults: &'static [&'static str],
    /// The measurements without which a run counts as a crash.
    pub required: &'static [&'static str],
    /// The measurements that must be zero.
    pub must_be_zero: &'static [&'static str],
    /// The measurements that must not be zero: without them nothing was tested.
    pub must_not_be_zero: &'static [&'static str],
    /// Whether it reports the requests that were refused, each as a row that is named after the
    /// frame that was in the way.
    pub refusals: bool,
    /// The first column of the scenario's own table. Empty if it has none.
    pub row_name: &'static str,
    /// What the rows of that table are called in JSON.
    pub rows_key: &'static str,
}

/// What the command line of some scenarios can set. An option that means nothing to a scenario is
/// none of its settings, and refused. In the order in which help lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// `--cpus`
    Cpus,
    /// `--memory`
    Memory,
    /// `--cma`
    Cma,
    /// `--window`
    Window,
    /// `--jobs`
    Jobs,
    /// `--cycles`
    Cycles,
    /// `--chunk`
    Chunk,
    /// `--interval-ms`
    IntervalMs,
    /// `--operations` and `--minutes`
    Duration,
    /// `--seed`
    Seed,
    /// `--fault`
    Fault,
    /// `--accel`
    Accel,
    /// `--display` and `--screenshot`
    Screen,
    /// `--disk`
    Disk,
}

/// What a scenario repeats `--cycles` times, with `--chunk` MiB of memory each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// A contiguous allocation of a chunk of the CMA area.
    Chunk,
    /// A round in which half of memory goes offline, in blocks of a chunk each, and comes back.
    Blocks,
    /// A thousand requests of a device, to buffers of up to a chunk each.
    Requests,
    /// A size of the memory device, of up to a chunk.
    Resizes,
    /// A rise of the memory that processes use to a chunk, and its fall to an eighth of that.
    Waves,
    /// A thousand allocations and frees of random orders. The chunk has no meaning.
    Operations,
    /// A round of operations of every kind, until there are enough of them. Neither `--cycles` nor
    /// `--chunk` has a meaning.
    Rounds,
}

/// How many boots a scenario takes for a number of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// One, with that many CPUs.
    Fixed,
    /// One for each number of CPUs from 1 to that many.
    EachUpTo,
}

impl Cpus {
    /// The number of CPUs if the command line gives none.
    pub(crate) const fn default_number(self) -> u32 {
        match self {
            Self::Fixed => 4,
            Self::EachUpTo => 8,
        }
    }
}

impl Cycle {
    /// The time that one cycle may take on a slow machine.
    const fn patience(self) -> Duration {
        match self {
            Self::Chunk | Self::Operations | Self::Rounds => Duration::ZERO,
            Self::Requests => Duration::from_secs(6),
            Self::Resizes => Duration::from_secs(20),
            Self::Waves => Duration::from_secs(120),
            Self::Blocks => Duration::from_secs(30),
        }
    }
}

impl ScenarioSpec {
    /// Whether its command line has that option.
    pub fn takes(&self, setting: Setting) -> bool {
        self.settings().any(|known| known == setting)
    }

    /// What its command line can set, beside what that of every scenario can.
    pub(crate) fn settings(&self) -> impl Iterator<Item = Setting> {
        self.settings.iter().copied().flatten().copied()
    }

    /// The time that a boot may take: several times what a slow machine needs.
    pub(crate) fn deadline(&self, config: &BootConfig<'_>) -> Duration {
        const BASE: Duration = Duration::from_secs(300);
        /// What an operation of a soak takes where other programs need the processors, too.
        const OPERATION_US: u64 = 200;
        let interval = Duration::from_millis(config.interval_ms.into());
        let cycles = (interval * 2 + self.cycle.patience()) * config.cycles;
        let operations = Duration::from_micros(config.operations.saturating_mul(OPERATION_US));
        let minutes = Duration::from_secs(u64::from(config.minutes) * 60) * 2;
        BASE.saturating_add(cycles).saturating_add(operations).saturating_add(minutes)
    }

    /// The time from one protocol line to the next that a boot may take.
    pub(crate) fn silence(&self, config: &BootConfig<'_>) -> Duration {
        const BASE: Duration = Duration::from_secs(60);
        BASE + Duration::from_millis(config.interval_ms.into()) * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::table::find;

    #[test]
    fn longer_intervals_get_more_time() {
        let cma = find("cma").unwrap();
        let config = BootConfig { interval_ms: 5000, ..BootConfig::default() };
        assert!(cma.deadline(&config) > Duration::from_secs(5 * 30 + 60));
        assert!(cma.silence(&config) > Duration::from_secs(5 + 30));
        assert!(cma.deadline(&BootConfig::default()) < cma.deadline(&config));
        let hotplug = find("hotplug").unwrap();
        assert!(hotplug.deadline(&hotplug.defaults) > Duration::from_secs(600));
        let soak = find("soak").unwrap();
        let billion = BootConfig { operations: 1_000_000_000, ..soak.defaults };
        assert!(soak.deadline(&billion) > Duration::from_secs(24 * 3600));
        let hours = BootConfig { operations: 0, minutes: 600, ..soak.defaults };
        assert!(soak.deadline(&hours) > Duration::from_secs(11 * 3600));
        soak.deadline(&BootConfig { operations: u64::MAX, ..soak.defaults });
    }
}
