//! Cases on a guest that is a shell script, with every end that a case can have.

use std::ffi::OsStr;
use std::time::Instant;

use super::*;
use crate::qemu::accel::Accel;
use crate::qemu::emulator::Qemu;
use crate::qemu::machine::Peripherals;

/// Runs these cases. Returns the reported ends, in order, and the summary.
fn run(names: &[&str]) -> (Vec<(String, CaseEnd)>, Summary) {
    run_on("good", names)
}

fn run_on(image: &str, names: &[&str]) -> (Vec<(String, CaseEnd)>, Summary) {
    let interrupt = Interrupt::new();
    let vm = vm(image);
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut ends = Vec::new();
    let summary =
        runner(&vm, &interrupt).run(&names, &mut |name, end| ends.push((name.to_owned(), end))).unwrap();
    (ends, summary)
}

/// A virtual machine whose emulator is `tests/guest.sh`, which acts by the name of the image.
fn vm(image: &str) -> Vm {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest.sh");
    Vm {
        qemu: Qemu::find(OsStr::new(program)).unwrap(),
        image: image.into(),
        accel: Accel::Tcg,
        peripherals: Peripherals::default(),
        disk: None,
        lent: None,
    }
}

fn runner<'r>(vm: &'r Vm, interrupt: &'r Interrupt) -> CaseRunner<'r> {
    CaseRunner {
        vm,
        machine: Machine { cpus: 4, memory_mib: 1024 },
        boot_limit: Duration::from_secs(60),
        case_limit: Duration::from_secs(2),
        interrupt,
        serial: Serial::Kept,
    }
}

/// The end of a case that runs between two good ones, which must both pass.
fn end_of(bad: &str) -> (CaseEnd, Summary) {
    let (ends, summary) = run(&["good::one", bad, "good::two"]);
    assert_eq!(ends.len(), 3, "{ends:?}");
    let of = |name: &str| {
        let mut found = ends.iter().filter(|(n, _)| n == name);
        let (_, end) = found.next().unwrap();
        assert!(found.next().is_none(), "{name} ended twice");
        end.clone()
    };
    assert_eq!(of("good::one"), CaseEnd::Passed);
    assert_eq!(of("good::two"), CaseEnd::Passed);
    (of(bad), summary)
}

#[test]
fn cases_are_listed_with_their_kinds() {
    let interrupt = Interrupt::new();
    let vm = vm("good");
    assert_eq!(
        runner(&vm, &interrupt).list().unwrap(),
        [("good::one".to_owned(), CaseKind::Plain), ("bad::panics".to_owned(), CaseKind::Explicit),]
    );
}

#[test]
fn a_kernel_that_cannot_list_its_cases_is_an_error_with_its_last_lines() {
    let interrupt = Interrupt::new();
    let vm = vm("panics-early");
    let message = runner(&vm, &interrupt).list().unwrap_err().to_string();
    assert!(message.contains("src/x.rs:1: no memory"), "{message}");
    assert!(message.contains("| [info] almost up"), "{message}");
}

#[test]
fn good_cases_share_one_boot() {
    let (ends, summary) = run(&["good::one", "good::two", "good::skips"]);
    assert_eq!(ends[0], ("good::one".to_owned(), CaseEnd::Passed));
    assert_eq!(ends[1], ("good::two".to_owned(), CaseEnd::Passed));
    let CaseEnd::Skipped { reason } = &ends[2].1 else {
        panic!("{ends:?}");
    };
    assert_eq!(reason, "one CPU only");
    assert!(ends.iter().all(|(_, end)| end.is_good()));
    assert_eq!(summary.boots, 1);
    assert!(summary.contradictions.is_empty(), "{summary:?}");
}

#[test]
fn no_cases_need_no_boot() {
    let (ends, summary) = run(&[]);
    assert!(ends.is_empty());
    assert_eq!(summary.boots, 0);
}

#[test]
fn a_failure_has_file_line_and_message() {
    let (end, summary) = end_of("bad::fails");
    assert_eq!(end.to_string(), "failed at tests/bad.rs:7: left: 1\nright: 2");
    assert!(!end.is_good());
    assert_eq!(summary.boots, 1);
    assert!(summary.contradictions.is_empty(), "{summary:?}");
}

#[test]
fn cases_that_crash_the_kernel_are_named_and_the_rest_runs() {
    for (name, says) in [
        ("bad::panics", "panicked: the kernel panicked at tests/bad.rs:9: on purpose"),
        ("bad::faults", "faulted: the kernel took a page-fault at 0x10"),
        ("bad::resets", "died: the guest reset itself"),
        ("bad::kills", "died: QEMU ended unexpectedly (signal: 9"),
    ] {
        let (end, summary) = end_of(name);
        assert!(end.to_string().starts_with(says), "{end}");
        assert!(end.to_string().contains("| @pb start bad::"), "{end}");
        assert!(!end.is_good());
        assert_eq!(summary.boots, 2);
        assert!(summary.contradictions.is_empty(), "{summary:?}");
    }
}

#[test]
fn a_hanging_case_is_stopped_at_its_limit() {
    let start = Instant::now();
    let (end, summary) = end_of("bad::hangs");
    assert!(end.to_string().starts_with("hung: "), "{end}");
    assert!(!end.is_good());
    assert_eq!(summary.boots, 2);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn cases_are_missed_if_the_kernel_does_not_boot() {
    let (ends, summary) = run_on("resets-early", &["good::one", "good::two"]);
    assert_eq!(summary.boots, 1);
    assert_eq!(ends.len(), 2);
    for (_, end) in &ends {
        assert!(end.to_string().starts_with("missed: the guest reset"), "{end}");
        assert!(!end.is_good());
    }
    assert!(!summary.contradictions.is_empty());
}

#[test]
fn a_case_that_the_kernel_ignores_is_missed() {
    let (end, summary) = end_of("odd::ignored");
    assert!(end.to_string().starts_with("missed: the kernel did not run it"), "{end}");
    assert!(!end.is_good());
    assert_eq!(summary.boots, 1);
}

#[test]
fn contradictions_are_reported() {
    for (name, what) in [
        ("odd::last", "between two cases, the guest reset itself"),
        ("odd::lies", "`done broken` after 0 failed cases"),
        ("odd::endless", "began while `odd::endless` was running"),
        ("odd::unstarted", "ended and had not begun"),
    ] {
        let (_, summary) = end_of(name);
        let all = summary.contradictions.join("\n");
        assert!(all.contains(what), "{name}: {all}");
    }
}

#[test]
fn long_lists_of_names_take_several_boots() {
    let names: Vec<String> = (0..300).map(|i| format!("good::case_number_{i:05}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (ends, summary) = run(&names);
    assert_eq!(ends.len(), 300);
    assert!(ends.iter().all(|(_, end)| *end == CaseEnd::Passed));
    assert!((4..8).contains(&summary.boots), "{}", summary.boots);
}

#[test]
fn interruption_misses_what_is_left() {
    let interrupt = Interrupt::new();
    let vm = vm("good");
    let mut ends = Vec::new();
    let names = ["bad::fails".to_owned(), "bad::hangs".to_owned(), "good::two".to_owned()];
    runner(&vm, &interrupt)
        .run(&names, &mut |name, end| {
            interrupt.set();
            ends.push((name.to_owned(), end));
        })
        .unwrap();
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|(_, end)| !end.is_good()), "{ends:?}");
}
