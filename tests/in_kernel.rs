//! Boots the kernel and shows every in-kernel case as one line of test output.
//!
//! The cases are in `tests/in_kernel/`, compiled into the kernel. This driver asks
//! the kernel for their names, lets it run those that are selected, and presents
//! each result as an ordinary test: `cargo test --test in_kernel -- cma` runs the
//! cases with `cma` in their names, `--list` lists them all, `--nocapture` shows
//! the serial line. A case that takes the kernel down fails alone: the kernel
//! boots again for the others. `tests/system/runner.rs` tests that this is so.

use std::collections::HashMap;
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use pageblock_launcher::cases::{CaseEnd, CaseRunner, Serial, Summary};
use pageblock_launcher::host::Interrupt;
use pageblock_launcher::image::{Instruments, Messages};
use pageblock_launcher::qemu::{AccelChoice, Clock};
use pageblock_launcher::qemu::{Machine, PROGRAM};
use pageblock_launcher::vm::{BootError, Vm};
use pageblock_protocol::CaseKind;

const MACHINE: Machine = Machine { cpus: 4, memory_mib: 1024 };

/// A boot serves many cases and may take long; a case says something in between.
const BOOT_LIMIT: Duration = Duration::from_secs(900);
const CASE_LIMIT: Duration = Duration::from_secs(60);

/// Nobody interrupts but by ending this process, and QEMU ends with it.
static INTERRUPT: Interrupt = Interrupt::new();

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One guest after the other; the results then come in order.
    arguments.test_threads = Some(1);
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let qemu = std::env::var_os("PAGEBLOCK_QEMU").unwrap_or_else(|| OsString::from(PROGRAM));
    let vm = Vm::prepare(&qemu, Clock::Time, AccelChoice::Auto, Instruments::None, Messages::Shown)?;
    let names = plain_cases(&vm)?;
    let selected = names.iter().filter(|name| !arguments.list && selects(arguments, name));
    let selected: Vec<String> = selected.cloned().collect();

    let (results, runner) = start(vm, arguments, selected);
    let results = Arc::new(Mutex::new(results));
    let trials = names.into_iter().map(|name| trial(name, Arc::clone(&results))).collect();
    let conclusion = libtest_mimic::run(arguments, trials);

    let summary = runner.join().map_err(|_| "the runner panicked")??;
    if summary.contradictions.is_empty() {
        return Ok(conclusion.exit_code());
    }
    // No single case's fault; but a kernel that says such things proves nothing.
    Err(format!("the kernel contradicts itself:\n{}", summary.contradictions.join("\n")).into())
}

fn plain_cases(vm: &Vm) -> Result<Vec<String>, Box<dyn Error>> {
    let cases = case_runner(vm, Serial::Kept).list()?;
    let plain = cases.into_iter().filter(|(_, kind)| *kind == CaseKind::Plain);
    Ok(plain.map(|(name, _)| name).collect())
}

fn case_runner(vm: &Vm, serial: Serial) -> CaseRunner<'_> {
    CaseRunner {
        vm,
        machine: MACHINE,
        boot_limit: BOOT_LIMIT,
        case_limit: CASE_LIMIT,
        interrupt: &INTERRUPT,
        serial,
    }
}

/// Whether the arguments select that test, by the rule of libtest.
///
/// It is needed here because the kernel is told what to run before the tests ask for results.
fn selects(arguments: &Arguments, name: &str) -> bool {
    let matches = |pattern: &String| match arguments.exact {
        true => name == pattern,
        false => name.contains(pattern.as_str()),
    };
    !arguments.ignored && arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

fn trial(name: String, results: Arc<Mutex<Results>>) -> Trial {
    Trial::ignorable_test(name.clone(), move || {
        let end = results.lock().map_err(|_| "an earlier test panicked")?.wait_for(&name);
        match end {
            CaseEnd::Passed => Ok(Completion::Completed),
            CaseEnd::Skipped { reason } => Ok(Completion::ignored_with(reason)),
            bad => Err(Failed::from(bad)),
        }
    })
}

type Runner = JoinHandle<Result<Summary, BootError>>;

/// Runs the cases in the background.
fn start(vm: Vm, arguments: &Arguments, selected: Vec<String>) -> (Results, Runner) {
    let serial = if arguments.nocapture { Serial::Shown } else { Serial::Kept };
    let (send, receive) = mpsc::channel();
    // QEMU ends with the thread that starts it: this one lives until the end.
    let runner = thread::spawn(move || {
        let mut report = |name: &str, end| {
            // Fails when the tests have ended without asking for every result.
            let _ = send.send((name.to_owned(), end));
        };
        case_runner(&vm, serial).run(&selected, &mut report)
    });
    (Results { receive, early: HashMap::new() }, runner)
}

/// Results as they come in.
struct Results {
    receive: Receiver<(String, CaseEnd)>,
    /// Those that came before they were asked for.
    early: HashMap<String, CaseEnd>,
}

impl Results {
    fn wait_for(&mut self, name: &str) -> CaseEnd {
        if let Some(end) = self.early.remove(name) {
            return end;
        }
        while let Ok((ended, end)) = self.receive.recv() {
            if ended == name {
                return end;
            }
            self.early.insert(ended, end);
        }
        CaseEnd::Missed { reason: "the runner has no result for it".to_owned(), tail: Vec::new() }
    }
}
