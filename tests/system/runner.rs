//! The runner of the in-kernel cases, tested with cases that end badly on purpose.
//!
//! Every bad end must be reported as what it is, and must not keep the other cases from running.
//!
//! The cases are the kernel's `bad::*`, which end badly on purpose. They share
//! one run, between two good ones. The same with a guest that is a shell script,
//! and for endings that no kernel of ours shows, is in the launcher's own tests.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::LazyLock;
use std::time::Duration;

use pageblock_boots as boots;
use pageblock_launcher::cases::{CaseEnd, CaseRunner, Serial, Summary};
use pageblock_launcher::guest::Ending;
use pageblock_launcher::host::Interrupt;
use pageblock_launcher::image::{Instruments, Messages};
use pageblock_launcher::qemu::Machine;
use pageblock_launcher::qemu::{AccelChoice, Clock};
use pageblock_launcher::vm::{Missing, Vm};
use pageblock_protocol::CaseKind;

static INTERRUPT: Interrupt = Interrupt::new();

/// What became of a run of all bad cases between two good ones.
struct Run {
    listed: Vec<(String, CaseKind)>,
    good: [String; 2],
    ends: HashMap<String, CaseEnd>,
    summary: Summary,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let vm = boots::vm(Clock::Time, Instruments::None);
    let _alone = boots::boot_alone();
    let runner = CaseRunner {
        vm: &vm,
        machine: Machine { cpus: 4, memory_mib: 256 },
        boot_limit: Duration::from_secs(120),
        case_limit: Duration::from_secs(8),
        interrupt: &INTERRUPT,
        serial: Serial::Kept,
    };
    let listed = runner.list().unwrap_or_else(|error| panic!("{error}"));
    let of = |wanted: CaseKind| {
        let kind = listed.iter().filter(move |(_, kind)| *kind == wanted);
        kind.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let (mut plain, bad) = (of(CaseKind::Plain), of(CaseKind::Explicit));
    // Which cases come first and last is the linker's affair, and not all of them can run on a
    // machine this small.
    plain.retain(|name| name.starts_with("machine::"));
    let good = [plain[0].clone(), plain[plain.len() - 1].clone()];
    let mut names = bad;
    names.insert(0, good[0].clone());
    names.push(good[1].clone());
    let mut ends = HashMap::new();
    let mut report = |name: &str, end: CaseEnd| {
        let again = ends.insert(name.to_owned(), end);
        assert_eq!(again, None, "{name} ended twice");
    };
    let summary = runner.run(&names, &mut report).unwrap_or_else(|error| panic!("{error}"));
    Run { listed, good, ends, summary }
});

fn end_of(name: &str) -> &'static CaseEnd {
    RUN.ends.get(name).unwrap_or_else(|| panic!("{name} has no result"))
}

/// That the case is reported as bad, in words that begin and go on like this.
fn assert_reported(name: &str, begins: &str, says: &str) {
    let end = end_of(name);
    assert!(!end.is_good(), "{name} counts as good");
    let text = end.to_string();
    assert!(text.starts_with(begins), "{name}: {text}");
    assert!(text.contains(says), "{name}: {text}");
}

#[test]
fn a_failure_has_its_file_line_and_message() {
    assert_reported("bad::fails", "failed at tests/in_kernel/bad.rs:", "on purpose\nin two lines");
    assert_reported("bad::fails_to_be_equal", "failed at tests/in_kernel/bad.rs:", "expected");
}

#[test]
fn a_panic_is_reported_wherever_it_happens() {
    for (name, says) in [
        ("bad::panics", "on purpose"),
        ("bad::panics_on_another_cpu", "on the last CPU"),
        ("bad::panics_in_an_interrupt", "in an interrupt"),
        ("bad::panics_while_printing", "in the middle of a line"),
    ] {
        assert_reported(name, "panicked: the kernel panicked at ", "bad.rs:");
        assert_reported(name, "panicked: ", says);
    }
}

#[test]
fn a_fault_is_reported() {
    assert_reported("bad::faults", "faulted: ", "page");
    assert_reported("bad::faults_by_instruction", "faulted: ", "opcode");
}

#[test]
fn a_hang_is_reported() {
    for name in ["bad::hangs", "bad::hangs_with_interrupts_masked", "bad::hangs_every_cpu"] {
        assert_reported(name, "hung: ", "said nothing");
    }
}

#[test]
fn a_reset_is_reported() {
    let CaseEnd::Died { ending, .. } = end_of("bad::resets") else {
        panic!("{}", end_of("bad::resets"));
    };
    assert_eq!(*ending, Ending::Reset);
}

#[test]
fn an_exit_without_a_word_is_reported() {
    assert_reported("bad::exits", "died: ", "before it was done");
}

#[test]
fn a_skipped_case_is_neither_passed_nor_bad() {
    let CaseEnd::Skipped { reason } = end_of("bad::skips") else {
        panic!("{}", end_of("bad::skips"));
    };
    assert_eq!(reason, "on purpose");
}

#[test]
fn every_bad_case_has_an_end_and_none_is_missed() {
    for (name, kind) in &RUN.listed {
        if *kind == CaseKind::Explicit {
            let end = end_of(name);
            assert!(!matches!(end, CaseEnd::Passed), "{name} passed");
            assert!(!matches!(end, CaseEnd::Missed { .. }), "{name}: {end}");
        }
    }
}

#[test]
fn the_other_cases_run_all_the_same() {
    for name in &RUN.good {
        assert_eq!(*end_of(name), CaseEnd::Passed, "{name}");
    }
}

#[test]
fn the_kernel_boots_again_after_a_death_only() {
    let deaths = RUN.ends.values();
    let deaths = deaths.filter(|end| matches!(end, CaseEnd::Died { .. }));
    let boots = usize::try_from(RUN.summary.boots).unwrap();
    assert_eq!(boots, deaths.count() + 1);
    assert_eq!(RUN.summary.contradictions, Vec::<String>::new());
}

#[test]
fn a_missing_emulator_is_reported_with_the_install_command() {
    let qemu = OsStr::new("/nowhere/qemu-system-x86_64");
    let error =
        Vm::prepare(qemu, Clock::Time, AccelChoice::Auto, Instruments::None, Messages::Kept).unwrap_err();
    assert!(matches!(error, Missing::Qemu(_)));
    assert!(error.to_string().contains("Install it with: "), "{error}");
}
