//! The options that repeat a run, with the values that it had: the inverse of parsing.

use std::ffi::OsStr;

use serde_json::{Value, json};

use crate::command_line::plan::Plan;
use crate::host::shell;
use crate::qemu::accel::Accel;
use crate::qemu::emulator::PROGRAM;
use crate::scenario::spec::Setting;

/// Every option that the result of a run depends on, also where the command line did not give it.
///
/// The acceleration is the one that was chosen. Options without a value for this run are left out.
pub(crate) fn options(plan: &Plan<'_>, accel: Accel) -> Vec<(&'static str, Value)> {
    let Plan { arguments, spec, machine, config } = plan;
    let emulation = &arguments.emulation;
    let path = |path: &OsStr| json!(path.to_string_lossy());
    let set = |setting, value: Value| spec.takes(setting).then_some(value);
    let options = [
        ("cpus", set(Setting::Cpus, json!(machine.cpus))),
        ("memory", set(Setting::Memory, json!(machine.memory_mib))),
        ("cma", set(Setting::Cma, json!(config.cma_mib)).filter(|_| config.cma_mib != 0)),
        ("window", set(Setting::Window, json!(arguments.window_mib))),
        ("jobs", set(Setting::Jobs, json!(config.jobs))),
        ("cycles", set(Setting::Cycles, json!(config.cycles))),
        ("chunk", set(Setting::Chunk, json!(config.chunk_mib))),
        ("interval-ms", set(Setting::IntervalMs, json!(config.interval_ms))),
        ("operations", set(Setting::Duration, json!(config.operations)).filter(|_| config.operations != 0)),
        ("minutes", set(Setting::Duration, json!(config.minutes)).filter(|_| config.minutes != 0)),
        ("seed", set(Setting::Seed, json!(config.seed))),
        ("fault", config.fault.map(|fault| json!(fault))),
        ("disk", arguments.disk.as_ref().map(|file| path(file.as_os_str()))),
        ("accel", set(Setting::Accel, json!(accel.choice()))),
        ("timeout", emulation.timeout.map(|seconds| json!(seconds))),
        ("qemu", (emulation.qemu != PROGRAM).then(|| path(&emulation.qemu))),
        ("image", emulation.image.as_ref().map(|image| path(image.as_os_str()))),
    ];
    options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The command line that repeats a run with those options.
pub(crate) fn command(plan: &Plan<'_>, options: &[(&'static str, Value)]) -> String {
    let mut command = format!("cargo run -- {}", plan.spec.scenario);
    for (name, value) in options {
        let value = value.as_str().map_or_else(|| value.to_string(), |text| shell::quote(text.as_ref()));
        command += &format!(" --{name} {value}");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::parse::tests::with_plan;
    use crate::scenario::table::SCENARIOS;

    fn command_of(line: &str) -> String {
        let mut text = String::new();
        with_plan(line, |plan| text = command(plan, &options(plan, Accel::Tcg)));
        text
    }

    #[test]
    fn defaults_are_spelt_out() {
        assert_eq!(
            command_of("--cma 1 --chunk 1"),
            "cargo run -- cma --cpus 4 --memory 1024 --cma 1 --jobs 16 --cycles 30 --chunk 1 \
             --interval-ms 100 --seed 1 --accel tcg"
        );
        let bench = command_of("bench --qemu /opt/my/qemu --timeout 9");
        assert_eq!(
            bench,
            "cargo run -- bench --cpus 8 --memory 1024 --cycles 200 --seed 1 --timeout 9 --qemu /opt/my/qemu"
        );
    }

    #[test]
    fn a_command_repeats_the_run() {
        let lines = SCENARIOS.iter().map(|spec| spec.scenario.name().to_owned());
        let more = [
            "--cpus 2 --seed 7 --fault merge-across",
            "hotplug --chunk 32 --cycles 3 --cma 64",
            "soak --operations 1000000000000",
            "soak --minutes 600",
        ];
        for line in lines.chain(more.map(str::to_owned)) {
            let command = command_of(&line);
            let words = command.strip_prefix("cargo run -- ").unwrap();
            with_plan(&line, |one| {
                with_plan(words, |other| {
                    assert_eq!(one.boots(), other.boots(), "`{line}` and `{words}`");
                    assert_eq!(one.instruments(), other.instruments(), "`{line}` and `{words}`");
                });
            });
        }
    }
}
