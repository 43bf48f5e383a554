//! The run of a scenario that a command line asks for: its boots, and the image that they need.

use pageblock_protocol::BootConfig;

use crate::command_line::arguments::Arguments;
use crate::command_line::definition::MEMORY_MIB;
use crate::image::build::Instruments;
use crate::qemu::machine::Machine;
use crate::scenario::spec::{Cpus, Cycle, ScenarioSpec};

/// The run of a scenario that a command line asks for.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The command line.
    pub arguments: &'a Arguments,
    /// The scenario.
    pub spec: &'static ScenarioSpec,
    /// The guest's hardware. If there are several boots, that of the largest.
    pub machine: Machine,
    /// The kernel's command line, before a fault is chosen for each boot.
    pub config: BootConfig<'a>,
}

impl<'a> Plan<'a> {
    /// The run that those arguments ask for.
    pub fn new(arguments: &'a Arguments) -> Self {
        let Arguments { spec, machine, .. } = *arguments;
        let config = BootConfig {
            scenario: spec.scenario,
            cma_mib: arguments.cma_mib,
            jobs: arguments.jobs,
            cycles: arguments.cycles,
            chunk_mib: arguments.chunk_mib,
            interval_ms: arguments.interval_ms,
            operations: arguments.operations,
            minutes: arguments.minutes,
            seed: arguments.seed,
            fault: arguments.fault.as_deref(),
            samples: arguments.report.is_some() || arguments.pictures.is_some(),
            trace: arguments.trace.is_some(),
            display: arguments.display || arguments.screenshot.is_some(),
            ..spec.defaults
        };
        Self { arguments, spec, machine, config }
    }

    /// The boots of the run: the hardware and the kernel's command line of each.
    pub fn boots(&self) -> Vec<(Machine, BootConfig<'a>)> {
        let Self { spec, machine, config, .. } = *self;
        if spec.cpus == Cpus::EachUpTo {
            return (1..=machine.cpus).map(|cpus| (Machine { cpus, ..machine }, config)).collect();
        }
        if spec.cycle == Cycle::Waves {
            // What QEMU needs for itself, what it holds without reports, and with them.
            let idle = BootConfig { cycles: 0, fault: None, ..config };
            let without = BootConfig { report: false, ..config };
            let boots = match config.fault {
                None => vec![idle, without, config],
                Some(_) => vec![idle, config],
            };
            return boots.into_iter().map(|config| (machine, config)).collect();
        }
        if config.fault.is_some() || spec.faults.is_empty() {
            return vec![(machine, config)];
        }
        let with = |fault: &&'static str| (machine, BootConfig { fault: Some(fault), ..config });
        spec.faults.iter().map(with).collect()
    }

    /// Whether the run does what it does without options, as far as its load is concerned. Other
    /// seeds make no other load.
    pub fn has_default_load(&self) -> bool {
        let Self { spec, machine, config, .. } = *self;
        let default = Machine { cpus: spec.cpus.default_number(), memory_mib: MEMORY_MIB };
        let defaults = BootConfig {
            seed: config.seed,
            samples: config.samples,
            trace: config.trace,
            display: config.display,
            ..spec.defaults
        };
        machine == default && config == BootConfig { scenario: spec.scenario, ..defaults }
    }

    /// How much of the work of the run that boot does, compared with the others.
    pub fn weight(&self, (machine, config): &(Machine, BootConfig<'_>)) -> u64 {
        // On one CPU everything is measured, which takes as long as to boot. On several there is
        // little beside the boot.
        let measures = self.spec.cpus == Cpus::EachUpTo && machine.cpus == 1;
        let has_demand = self.spec.cycle == Cycle::Waves && config.cycles > 0;
        if has_demand {
            u64::from(config.cycles) * 6
        } else if measures {
            2
        } else {
            1
        }
    }

    /// The features that the kernel is built with.
    pub const fn instruments(&self) -> Instruments {
        let instruments = match self.config.fault {
            None => self.spec.instruments,
            Some(_) => self.spec.instruments.with_faults(),
        };
        if self.config.trace { instruments.with_trace() } else { instruments }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::command_line::parse::tests::with_plan;
    use crate::qemu::machine::Debugger;

    #[test]
    fn an_empty_command_line_runs_the_default_scenario() {
        with_plan("", |plan| {
            assert_eq!(plan.config, BootConfig::default());
            assert_eq!(plan.machine, Machine { cpus: 4, memory_mib: 1024 });
            assert_eq!(plan.instruments(), Instruments::None);
            assert_eq!(plan.arguments.emulation.timeout(), None);
        });
    }

    #[test]
    fn every_option_has_an_effect() {
        let line = "cma --cpus 8 --memory 6144 --cma 1024 --jobs 3 --cycles 5 --chunk 4 \
                    --interval-ms 5000 --seed 18446744073709551615 --fault merge-across \
                    --timeout 7 --json out.json --accel tcg --qemu /opt/qemu --gdb=4321 --serial";
        with_plan(line, |plan| {
            let config = BootConfig {
                cma_mib: 1024,
                jobs: 3,
                cycles: 5,
                chunk_mib: 4,
                interval_ms: 5000,
                seed: u64::MAX,
                fault: Some("merge-across"),
                ..BootConfig::DEFAULT
            };
            assert_eq!(plan.config, config);
            assert_eq!(plan.machine.to_string(), "8 CPUs, 6144 MiB");
            assert_eq!(plan.instruments(), Instruments::Faults);
            assert_eq!(plan.arguments.emulation.debugger, Debugger::Wait { port: 4321 });
            assert_eq!(plan.arguments.emulation.timeout(), Some(Duration::from_secs(7)));
            assert_eq!(plan.arguments.emulation.qemu, "/opt/qemu");
            assert!(plan.arguments.serial);
        });
    }

    #[test]
    fn scenarios_have_defaults_of_their_own() {
        for (line, cycles, chunk_mib) in [
            ("cma", 30, 8),
            ("hotplug", 20, 128),
            ("hotplug --chunk 512", 20, 512),
            ("hotplug --cycles 3 --chunk 32", 3, 32),
        ] {
            with_plan(line, |plan| {
                assert_eq!((plan.config.cycles, plan.config.chunk_mib), (cycles, chunk_mib), "{line}");
            });
        }
    }

    #[test]
    fn each_fault_has_a_boot_of_its_own() {
        with_plan("faults", |plan| {
            let boots = plan.boots();
            assert_eq!(boots.len(), plan.spec.faults.len());
            assert!(boots.iter().all(|(_, config)| config.fault.is_some()));
        });
        with_plan("faults --fault merge-across", |plan| {
            let boots = plan.boots();
            assert_eq!(boots.len(), 1);
            assert_eq!(boots[0].1.fault, Some("merge-across"));
        });
        with_plan("cma", |plan| assert_eq!(plan.boots(), [(plan.machine, plan.config)]));
    }

    #[test]
    fn a_demand_is_compared_with_an_idle_guest() {
        for (line, expected) in [
            ("balloon", vec![(0, None, true), (3, None, false), (3, None, true)]),
            (
                "balloon --fault reported-before-acknowledged",
                vec![(0, None, true), (3, Some("reported-before-acknowledged"), true)],
            ),
        ] {
            with_plan(line, |plan| {
                let boots = plan.boots();
                let found: Vec<_> =
                    boots.iter().map(|(_, boot)| (boot.cycles, boot.fault, boot.report)).collect();
                assert_eq!(found, expected, "{line}");
                assert_eq!(plan.has_default_load(), plan.config.fault.is_none());
            });
        }
    }

    #[test]
    fn each_number_of_cpus_has_a_boot_of_its_own() {
        let numbers = |line: &str| {
            let mut numbers = Vec::new();
            with_plan(line, |plan| {
                numbers.extend(plan.boots().iter().map(|(machine, config)| (machine.cpus, config.cma_mib)));
            });
            numbers
        };
        assert_eq!(numbers("bench"), [1, 2, 3, 4, 5, 6, 7, 8].map(|cpus| (cpus, 0)));
        assert_eq!(numbers("bench --cpus 2 --cma 64"), [(1, 64), (2, 64)]);
        assert_eq!(numbers("cma --cpus 2"), [(2, 256)]);
    }
}
