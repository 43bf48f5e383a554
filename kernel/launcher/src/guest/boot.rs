//! Runs QEMU once and watches it until it exits or a limit is reached.
//!
//! Two threads read QEMU's standard output and standard error. The calling thread records what they
//! read, polls QEMU and the limits, and kills QEMU when a limit is reached.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use pageblock_protocol::Line;

use crate::guest::ending::{Ending, Stop};
use crate::guest::transcript::{Transcript, printable};
use crate::host::interrupt::Interrupt;
use crate::host::process::Guarded;
use crate::host::shell;

/// The interval at which QEMU, the limits and the user are polled while the guest is silent.
const TICK: Duration = Duration::from_millis(50);

/// The time after QEMU's exit in which the rest of its output is still read.
const LAG: Duration = Duration::from_millis(500);

/// The longest line. A longer one is cut in pieces, so that it does not fill memory.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The number of last lines of QEMU's standard error that are kept.
const QEMU_MESSAGES: usize = 20;

/// The time that a boot may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the whole boot. `None` only while a debugger may stop the guest.
    pub deadline: Option<Duration>,
    /// From one protocol line to the next.
    pub silence: Option<Duration>,
}

/// Receives the serial output of the guest while it runs.
pub trait Listener {
    /// Receives one line. `line` is its meaning if it is a well-formed line of the protocol.
    fn receive(&mut self, raw: &str, line: Option<&Line<'_>>);

    /// The guest runs, in the process with that id.
    fn started(&mut self, _pid: u32) {}

    /// Is called many times a second, also while the guest is silent.
    fn tick(&mut self) {}
}

/// The result of one boot.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the guest reported.
    pub transcript: Transcript,
    /// How the boot ended.
    pub ending: Ending,
    /// The last lines of QEMU's standard error.
    pub qemu_messages: Vec<String>,
    /// QEMU's command line, quoted for a shell.
    pub command: String,
    /// The time from QEMU's start to its end.
    pub took: Duration,
}

impl Listener for () {
    fn receive(&mut self, _raw: &str, _line: Option<&Line<'_>>) {}
}

/// Runs QEMU and watches it until it exits or is killed.
pub(crate) fn watch(
    mut command: Command,
    limits: Limits,
    interrupt: &Interrupt,
    listener: &mut dyn Listener,
) -> io::Result<Outcome> {
    let start = Instant::now();
    let mut qemu = Guarded::spawn(&mut command)?;
    listener.started(qemu.id());
    let (send, outputs) = mpsc::channel();
    if let Some(stdout) = qemu.take_stdout() {
        read_in_background(stdout, Output::Serial, Output::SerialEnd, send.clone());
    }
    if let Some(stderr) = qemu.take_stderr() {
        read_in_background(stderr, Output::Qemu, Output::QemuEnd, send);
    }
    let mut watch = Watch {
        transcript: Transcript::default(),
        qemu_messages: VecDeque::new(),
        listener,
        start,
        last_line: start,
    };
    let stop = watch.until_stopped(&mut qemu, &outputs, limits, interrupt)?;
    drop(qemu);
    Ok(Outcome {
        ending: Ending::classify(&watch.transcript, stop),
        transcript: watch.transcript,
        qemu_messages: watch.qemu_messages.into(),
        command: shell::command_line(&command),
        took: start.elapsed(),
    })
}

struct Watch<'l> {
    transcript: Transcript,
    qemu_messages: VecDeque<String>,
    listener: &'l mut dyn Listener,
    start: Instant,
    last_line: Instant,
}

impl Watch<'_> {
    fn until_stopped(
        &mut self,
        qemu: &mut Guarded,
        outputs: &Receiver<Output>,
        limits: Limits,
        interrupt: &Interrupt,
    ) -> io::Result<Stop> {
        let mut open_outputs = 2;
        let mut exited: Option<(ExitStatus, Instant)> = None;
        loop {
            self.listener.tick();
            // First, because Ctrl-C in a terminal ends QEMU as well.
            if interrupt.is_set() {
                return Ok(Stop::Interrupted);
            }
            if exited.is_none() {
                exited = qemu.try_wait()?.map(|status| (status, Instant::now()));
            }
            if let Some((status, when)) = exited
                && (open_outputs == 0 || when.elapsed() > LAG)
            {
                return Ok(self.exit(status));
            }
            if let Some(stop) = self.exceeded_limit(limits).filter(|_| exited.is_none()) {
                return Ok(stop);
            }
            if open_outputs == 0 {
                // QEMU has closed its outputs and is about to exit.
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            match outputs.recv_timeout(TICK) {
                Ok(Output::Serial(bytes)) => self.receive(&bytes),
                Ok(Output::Qemu(bytes)) => self.keep_message(&bytes),
                Ok(Output::SerialEnd | Output::QemuEnd) => open_outputs -= 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open_outputs = 0,
            }
        }
    }

    /// Why QEMU exited.
    fn exit(&self, status: ExitStatus) -> Stop {
        // What QEMU prints when a debugger tells it to kill the guest. It then exits with 0, as
        // after a reset.
        let message = |part: &str| self.qemu_messages.iter().find(|message| message.contains(part));
        if message("Terminated via GDBstub").is_some() {
            return Stop::Killed;
        }
        // It exits with 0 after most signals, too.
        match message("terminating on signal") {
            Some(message) => Stop::Signalled(message.clone()),
            None => Stop::Exited(status),
        }
    }

    fn exceeded_limit(&self, limits: Limits) -> Option<Stop> {
        let silence = limits.silence.filter(|limit| self.last_line.elapsed() > *limit).map(Stop::Silence);
        let deadline = limits.deadline.filter(|limit| self.start.elapsed() > *limit).map(Stop::Deadline);
        silence.or(deadline)
    }

    fn receive(&mut self, bytes: &[u8]) {
        let raw = String::from_utf8_lossy(bytes);
        let raw = raw.trim_end_matches(['\r', '\n']);
        let line = self.transcript.receive(raw);
        if line.is_some() {
            self.last_line = Instant::now();
        }
        self.listener.receive(raw, line.as_ref());
    }

    fn keep_message(&mut self, bytes: &[u8]) {
        if self.qemu_messages.len() == QEMU_MESSAGES {
            self.qemu_messages.pop_front();
        }
        let message = String::from_utf8_lossy(bytes);
        self.qemu_messages.push_back(printable(&message));
    }
}

/// A line of one of QEMU's outputs, or its end.
enum Output {
    Serial(Vec<u8>),
    SerialEnd,
    Qemu(Vec<u8>),
    QemuEnd,
}

/// Reads the lines of an output until its end.
///
/// The thread is not joined: a child of QEMU may hold the output open after QEMU's exit.
fn read_in_background(
    output: impl Read + Send + 'static,
    line: fn(Vec<u8>) -> Output,
    end: Output,
    send: Sender<Output>,
) {
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut bytes = Vec::new();
            let mut piece = output.by_ref().take(MAX_LINE_BYTES);
            let read = piece.read_until(b'\n', &mut bytes);
            if !matches!(read, Ok(1..)) || send.send(line(bytes)).is_err() {
                break;
            }
        }
        // Fails only if the boot is over and nobody receives any more.
        let _ = send.send(end);
    });
}

#[cfg(test)]
mod tests;
