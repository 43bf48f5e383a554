//! Watches how much memory the host holds for a guest whose demand rises and falls.
//!
//! The guest reports the memory that it uses ([`Line::Used`]), and the resident memory of QEMU is
//! read at the same moment.

use std::io;

use pageblock_protocol::{BootConfig, Line};

use crate::guest::boot::Listener;
use crate::guest::residency::{Point, Purpose, Residency};
use crate::guest::transcript::Transcript;
use crate::host::resident::resident_bytes;

/// Reads the resident memory of QEMU whenever the guest says what it uses, and passes on what it
/// says.
pub(crate) struct Observer<'l> {
    listener: &'l mut dyn Listener,
    pid: Option<u32>,
    residency: Residency,
    error: Option<io::Error>,
}

impl<'l> Observer<'l> {
    /// An observer of a boot with that command line.
    pub(crate) fn new(config: &BootConfig<'_>, listener: &'l mut dyn Listener) -> Self {
        let purpose = match (config.cycles, config.report) {
            (0, _) => Purpose::Idle,
            (_, false) => Purpose::Without,
            (_, true) => Purpose::With,
        };
        Self { listener, pid: None, residency: Residency { purpose, points: Vec::new() }, error: None }
    }

    /// Adds what was seen to what the guest has reported.
    pub(crate) fn finish(self, transcript: &mut Transcript) {
        transcript.residency.push(self.residency);
        if let Some(error) = self.error {
            transcript.broken.push(format!("the resident memory of QEMU: {error}"));
        }
    }
}

impl Listener for Observer<'_> {
    fn started(&mut self, pid: u32) {
        self.pid = Some(pid);
        self.listener.started(pid);
    }

    fn receive(&mut self, raw: &str, line: Option<&Line<'_>>) {
        if let (Some(&Line::Used { at_ms, kib }), Some(pid)) = (line, self.pid) {
            match resident_bytes(pid) {
                Ok(bytes) => {
                    self.residency.points.push(Point { ms: at_ms, used_kib: kib, resident_kib: bytes >> 10 })
                }
                Err(error) => self.error = Some(error),
            }
        }
        self.listener.receive(raw, line);
    }

    fn tick(&mut self) {
        self.listener.tick();
    }
}
