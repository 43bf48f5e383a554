//! One boot, watched until its end or its deadline.
//!
//! QEMU's two outputs are read by a thread each; the calling thread listens,
//! looks at the clock and at QEMU, and kills QEMU when one of them says so.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use pageblock_protocol::Line;

use crate::ending::{Ending, Stop};
use crate::process::Guarded;
use crate::transcript::{Transcript, printable};

/// How often to look at QEMU and at the user when the guest is silent.
const TICK: Duration = Duration::from_millis(50);

/// How long QEMU's output may lag behind its exit.
const LAG: Duration = Duration::from_millis(500);

/// No line is longer; what is, is cut in pieces rather than kept in memory.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// What QEMU says on its standard error is kept up to so many lines.
const QEMU_MESSAGES: usize = 20;

/// How long a boot may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all. `None` only while a debugger may hold the guest.
    pub deadline: Option<Duration>,
    /// Between two protocol lines.
    pub silence: Option<Duration>,
}

/// Set when the user wants to stop.
#[derive(Debug, Default)]
pub struct Interrupt(AtomicBool);

/// Hears what the guest says while it says it.
pub trait Listener {
    /// A line of serial output; `line` if it is one of the protocol.
    fn hear(&mut self, raw: &str, line: Option<&Line<'_>>);
}

/// A boot that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the guest said.
    pub transcript: Transcript,
    /// How it ended.
    pub ending: Ending,
    /// What QEMU itself said.
    pub qemu_messages: Vec<String>,
    /// How QEMU was started, as one could type it.
    pub command: String,
    /// From QEMU's start to its end.
    pub took: Duration,
}

impl Interrupt {
    /// Nobody wants to stop.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Stops every boot that watches this. Callable from any thread.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Listener for () {
    fn hear(&mut self, _raw: &str, _line: Option<&Line<'_>>) {}
}

/// Runs QEMU and watches it until it has ended, one way or another.
pub fn watch(
    mut command: Command,
    limits: Limits,
    interrupt: &Interrupt,
    listener: &mut dyn Listener,
) -> io::Result<Outcome> {
    let start = Instant::now();
    let mut qemu = Guarded::spawn(&mut command)?;
    let (send, receive) = mpsc::channel();
    if let Some(stdout) = qemu.take_stdout() {
        read_in_background(stdout, Heard::Serial, Heard::SerialEnd, send.clone());
    }
    if let Some(stderr) = qemu.take_stderr() {
        read_in_background(stderr, Heard::Qemu, Heard::QemuEnd, send);
    }
    let mut watch = Watch {
        transcript: Transcript::default(),
        qemu_messages: VecDeque::new(),
        listener,
        start,
        last_word: start,
    };
    let stop = watch.until_stopped(&mut qemu, &receive, limits, interrupt)?;
    drop(qemu);
    Ok(Outcome {
        ending: Ending::classify(&watch.transcript, stop),
        transcript: watch.transcript,
        qemu_messages: watch.qemu_messages.into(),
        command: crate::qemu::as_typed(&command),
        took: start.elapsed(),
    })
}

struct Watch<'l> {
    transcript: Transcript,
    qemu_messages: VecDeque<String>,
    listener: &'l mut dyn Listener,
    start: Instant,
    last_word: Instant,
}

impl Watch<'_> {
    fn until_stopped(
        &mut self,
        qemu: &mut Guarded,
        receive: &Receiver<Heard>,
        limits: Limits,
        interrupt: &Interrupt,
    ) -> io::Result<Stop> {
        let mut open_outputs = 2;
        let mut exited: Option<(ExitStatus, Instant)> = None;
        loop {
            if exited.is_none() {
                exited = qemu.try_wait()?.map(|status| (status, Instant::now()));
            }
            if let Some((status, when)) = exited
                && (open_outputs == 0 || when.elapsed() > LAG)
            {
                return Ok(Stop::Exited(status));
            }
            if interrupt.is_set() {
                return Ok(Stop::Interrupted);
            }
            if let Some(stop) = self.passed_limit(limits).filter(|_| exited.is_none()) {
                return Ok(stop);
            }
            if open_outputs == 0 {
                // Closed its outputs and is about to exit.
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            match receive.recv_timeout(TICK) {
                Ok(Heard::Serial(bytes)) => self.hear(&bytes),
                Ok(Heard::Qemu(bytes)) => self.keep_message(&bytes),
                Ok(Heard::SerialEnd | Heard::QemuEnd) => open_outputs -= 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open_outputs = 0,
            }
        }
    }

    fn passed_limit(&self, limits: Limits) -> Option<Stop> {
        let silence = limits.silence.filter(|limit| self.last_word.elapsed() > *limit).map(Stop::Silence);
        let deadline = limits.deadline.filter(|limit| self.start.elapsed() > *limit).map(Stop::Deadline);
        silence.or(deadline)
    }

    fn hear(&mut self, bytes: &[u8]) {
        let raw = String::from_utf8_lossy(bytes);
        let raw = raw.trim_end_matches(['\r', '\n']);
        let line = self.transcript.hear(raw);
        if line.is_some() {
            self.last_word = Instant::now();
        }
        self.listener.hear(raw, line.as_ref());
    }

    fn keep_message(&mut self, bytes: &[u8]) {
        if self.qemu_messages.len() == QEMU_MESSAGES {
            self.qemu_messages.pop_front();
        }
        let message = String::from_utf8_lossy(bytes);
        self.qemu_messages.push_back(printable(&message));
    }
}

enum Heard {
    Serial(Vec<u8>),
    SerialEnd,
    Qemu(Vec<u8>),
    QemuEnd,
}

/// Reads lines until the end. Not joined: a grandchild may hold the output open
/// for longer than anyone wants to wait.
fn read_in_background(
    output: impl Read + Send + 'static,
    line: fn(Vec<u8>) -> Heard,
    end: Heard,
    send: Sender<Heard>,
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
        // Fails only when nobody listens any more.
        let _ = send.send(end);
    });
}

#[cfg(test)]
mod tests;
