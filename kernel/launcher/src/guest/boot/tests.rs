//! Boots of shell scripts that print what a guest might print.

use std::process::Stdio;

use pageblock_protocol::Verdict;

use super::*;
use crate::host::status::Status;

const LIMITS: Limits =
    Limits { deadline: Some(Duration::from_secs(30)), silence: Some(Duration::from_secs(20)) };

fn guest(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(script: &str, limits: Limits) -> Outcome {
    watch(guest(script), limits, &Interrupt::new(), &mut ()).unwrap()
}

#[derive(Default)]
struct Recorder {
    lines: Vec<String>,
    logs: Vec<String>,
}

impl Listener for Recorder {
    fn receive(&mut self, raw: &str, line: Option<&Line<'_>>) {
        match line {
            Some(line) => self.lines.push(line.to_string()),
            None => self.logs.push(raw.to_owned()),
        }
    }
}

#[test]
fn a_good_boot_is_read_to_its_end() {
    let mut recorder = Recorder::default();
    let outcome = watch(
        guest("printf '[0] up\\r\\n@pb hello 2 4 1024\\r\\n@pb done held\\n'; echo oh >&2; exit 33"),
        LIMITS,
        &Interrupt::new(),
        &mut recorder,
    )
    .unwrap();
    assert_eq!(outcome.ending, Ending::Done(Verdict::Held));
    assert_eq!(recorder.lines, ["@pb hello 2 4 1024", "@pb done held"]);
    assert_eq!(recorder.logs, ["[0] up"]);
    assert_eq!(outcome.qemu_messages, ["oh"]);
    assert!(outcome.command.starts_with("sh -c "));
}

#[test]
fn a_last_line_without_line_break_counts() {
    let outcome = run("echo @pb hello 2 4 1024; printf '@pb done held'; exit 33", LIMITS);
    assert_eq!(outcome.ending, Ending::Done(Verdict::Held));
}

#[test]
fn silence_ends_a_boot() {
    let limits = Limits { silence: Some(Duration::from_millis(300)), ..LIMITS };
    let outcome = run("echo @pb hello 2 4 1024; exec sleep 600", limits);
    assert!(matches!(outcome.ending, Ending::Hung(Stop::Silence(_))));
    assert!(outcome.took < Duration::from_secs(10));
}

#[test]
fn log_text_without_a_protocol_line_is_silence() {
    let limits = Limits { silence: Some(Duration::from_millis(300)), ..LIMITS };
    let outcome = run("while :; do echo chatter; done", limits);
    assert!(matches!(outcome.ending, Ending::Hung(Stop::Silence(_))));
}

#[test]
fn the_deadline_ends_a_boot_that_never_finishes() {
    let limits = Limits { deadline: Some(Duration::from_millis(500)), ..LIMITS };
    let outcome = run("while :; do echo @pb progress 1 2 step; done", limits);
    assert!(matches!(outcome.ending, Ending::Hung(Stop::Deadline(_))));
    assert_eq!(outcome.ending.status(), Status::Crashed);
}

#[test]
fn closed_outputs_do_not_hide_a_hang() {
    let limits = Limits { deadline: Some(Duration::from_millis(500)), ..LIMITS };
    let outcome = run("exec sleep 600 >&- 2>&-", limits);
    assert!(matches!(outcome.ending, Ending::Hung(Stop::Deadline(_))));
}

#[test]
fn an_exit_is_noticed_although_the_output_is_held_open() {
    let outcome = run("echo @pb hello 2 4 1024; echo @pb done held; sleep 3 & exit 33", LIMITS);
    assert_eq!(outcome.ending, Ending::Done(Verdict::Held));
    assert!(outcome.took < Duration::from_secs(2), "{:?}", outcome.took);
}

#[test]
fn the_user_can_stop_a_boot() {
    let interrupt = Interrupt::new();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            interrupt.set();
        });
        watch(guest("exec sleep 600"), LIMITS, &interrupt, &mut ()).unwrap()
    });
    assert_eq!(outcome.ending, Ending::Interrupted);
    assert!(outcome.took < Duration::from_secs(10));
}

#[test]
fn endless_lines_are_cut() {
    let outcome = run(
        "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo @pb hello 2 4 1; echo @pb done held; exit 33",
        LIMITS,
    );
    assert_eq!(outcome.ending, Ending::Done(Verdict::Held));
    let longest = outcome.transcript.tail.iter().map(String::len).max();
    assert!(longest <= usize::try_from(MAX_LINE_BYTES).ok());
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let command = Command::new("/nowhere/qemu");
    assert!(watch(command, LIMITS, &Interrupt::new(), &mut ()).is_err());
}
