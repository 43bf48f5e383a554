//! What the results say about the machine that they were made on.

use std::{env, fs, thread};

/// The machine that the launcher runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// The operating system and the architecture.
    pub(crate) system: String,
    /// The model of the CPU, if the operating system tells.
    pub(crate) cpu: Option<String>,
    /// The number of CPUs that this process may use.
    pub(crate) cpus: Option<usize>,
}

impl Description {
    /// That of this machine.
    pub(crate) fn of_this_machine() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            system: format!("{} {}", env::consts::OS, env::consts::ARCH),
            cpu: model(&cpuinfo),
            cpus: thread::available_parallelism().ok().map(usize::from),
        }
    }
}

/// The model of the first CPU in Linux's list.
fn model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_that_of_the_first_cpu() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: x\n";
        assert_eq!(model(cpuinfo).as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(model("no such line"), None);
    }
}
