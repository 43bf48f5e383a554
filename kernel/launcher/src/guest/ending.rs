//! How a boot ended.
//!
//! A boot has results only if the guest's last protocol line and its exit code agree and no line
//! was malformed. Every other ending has a variant, so that a crash is never taken for a result.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

use pageblock_protocol::{ExitCode, VERSION, Verdict};

use crate::guest::transcript::{Fatal, Transcript};
use crate::host::status::Status;

/// Why the launcher stopped watching QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// QEMU exited.
    Exited(ExitStatus),
    /// The boot exceeded this deadline.
    Deadline(Duration),
    /// The guest sent no protocol line for this long.
    Silence(Duration),
    /// The user requested a stop.
    Interrupted,
    /// A debugger ended the guest.
    Killed,
    /// Another program ended QEMU, as QEMU itself says.
    Signalled(String),
}

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The kernel finished; its last line and its exit code agree.
    Done(Verdict),
    /// The kernel reported a fatal error.
    Fatal(Fatal),
    /// The CPU was reset, as after a triple fault.
    Reset,
    /// The guest sent nothing for too long, or did not finish in time.
    Hung(Stop),
    /// QEMU could not start the guest.
    NotStarted(ExitStatus),
    /// QEMU was killed, or ended with an error of its own.
    QemuGone(ExitStatus),
    /// Another program ended QEMU: the message of QEMU.
    Signalled(String),
    /// The kernel uses another version of the protocol.
    OtherVersion(u32),
    /// A protocol line is malformed.
    Malformed(String),
    /// The last line and the exit code do not agree.
    Disagrees {
        /// The verdict of the last line, if there is one.
        done: Option<Verdict>,
        /// The exit code.
        code: ExitCode,
    },
    /// The user stopped the boot.
    Interrupted,
    /// The user ended the guest with the debugger.
    Killed,
}

impl Ending {
    /// Classifies a boot by what the guest reported and by why the watching stopped.
    pub(crate) fn classify(transcript: &Transcript, stop: Stop) -> Self {
        if let Some(hello) = transcript.hello
            && hello.version != VERSION
        {
            return Self::OtherVersion(hello.version);
        }
        // The kernel's own report of a fatal error explains more than the way QEMU then ended.
        if let Some(fatal) = transcript.fatal.clone() {
            return Self::Fatal(fatal);
        }
        let status = match stop {
            Stop::Interrupted => return Self::Interrupted,
            Stop::Killed => return Self::Killed,
            Stop::Deadline(_) | Stop::Silence(_) => return Self::Hung(stop),
            Stop::Signalled(message) => return Self::Signalled(message),
            Stop::Exited(status) => status,
        };
        if let Some(malformed) = &transcript.malformed {
            return Self::Malformed(malformed.clone());
        }
        let Some(code) = status.code().and_then(ExitCode::from_qemu_status) else {
            return match status.code() {
                Some(0) => Self::Reset,
                Some(_) if transcript.hello.is_none() => Self::NotStarted(status),
                _ => Self::QemuGone(status),
            };
        };
        match transcript.done {
            Some(verdict) if ExitCode::from(verdict) == code => Self::Done(verdict),
            done => Self::Disagrees { done, code },
        }
    }

    /// The exit status of the launcher after such an ending.
    pub const fn status(&self) -> Status {
        match self {
            Self::Done(Verdict::Held) => Status::Held,
            Self::Done(Verdict::Broken) => Status::Broken,
            Self::Fatal(Fatal::Refused(_)) => Status::Usage,
            Self::NotStarted(_) => Status::Missing,
            Self::Interrupted | Self::Killed => Status::Interrupted,
            Self::Fatal(_)
            | Self::Reset
            | Self::Hung(_)
            | Self::QemuGone(_)
            | Self::Signalled(_)
            | Self::OtherVersion(_)
            | Self::Malformed(_)
            | Self::Disagrees { .. } => Status::Crashed,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(Verdict::Held) => f.write_str("every invariant held"),
            Self::Done(Verdict::Broken) => f.write_str("an invariant did not hold"),
            Self::Fatal(fatal) => fatal.fmt(f),
            Self::Reset => {
                f.write_str("the guest reset itself without a message (most likely a triple fault)")
            }
            Self::Hung(Stop::Silence(limit)) => {
                write!(f, "the guest hung: it said nothing for {limit:?}")
            }
            Self::Hung(Stop::Deadline(limit)) => {
                write!(f, "the guest did not finish within {limit:?}")
            }
            Self::Hung(_) => f.write_str("the guest hung"),
            Self::NotStarted(status) => write!(f, "QEMU could not start the guest ({status})"),
            Self::QemuGone(status) => write!(f, "QEMU ended unexpectedly ({status})"),
            Self::Signalled(message) => write!(f, "another program ended QEMU ({message})"),
            Self::OtherVersion(version) => {
                write!(f, "the kernel uses version {version} of the protocol, the launcher {VERSION}")
            }
            Self::Malformed(line) => write!(f, "the kernel sent a malformed protocol line: {line}"),
            Self::Disagrees { done: None, code } => {
                write!(f, "the guest exited with code {:#x} before it was done", code.value())
            }
            Self::Disagrees { done: Some(verdict), code } => write!(
                f,
                "the guest's last line says `done {verdict}`, its exit code {:#x} does not",
                code.value()
            ),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Killed => f.write_str("the debugger ended the guest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn exited(code: i32) -> Stop {
        Stop::Exited(ExitStatus::from_raw(code << 8))
    }

    fn classify(lines: &str, stop: Stop) -> Ending {
        let mut transcript = Transcript::default();
        for line in lines.lines() {
            transcript.receive(line);
        }
        Ending::classify(&transcript, stop)
    }

    const UP: &str = "@pb hello 2 4 1024\n";

    #[test]
    fn done_and_exit_code_must_agree() {
        use Verdict::{Broken, Held};
        let held = UP.to_owned() + "@pb done held";
        let broken = UP.to_owned() + "@pb done broken";
        assert_eq!(classify(&held, exited(33)), Ending::Done(Held));
        assert_eq!(classify(&broken, exited(35)), Ending::Done(Broken));
        for (lines, code) in [(held.as_str(), 35), (&held, 37), (&broken, 33), (UP, 33), (UP, 35), ("", 33)] {
            let ending = classify(lines, exited(code));
            assert!(matches!(ending, Ending::Disagrees { .. }), "{ending:?}");
            assert_eq!(ending.status(), Status::Crashed);
        }
    }

    #[test]
    fn a_fatal_error_is_reported_in_the_kernels_words() {
        let panicked = classify("@pb panic src/x.rs:7 why\\nso", exited(37));
        assert_eq!(panicked.to_string(), "the kernel panicked at src/x.rs:7: why\nso");
        assert_eq!(panicked.status(), Status::Crashed);
        let faulted = classify("@pb fault page-fault at 0x10", exited(39));
        assert!(matches!(faulted, Ending::Fatal(Fatal::Fault { .. })));
        // The report counts although the kernel could not exit.
        let silence = Stop::Silence(Duration::from_secs(1));
        let panicked = classify("@pb panic src/x.rs:7 why", silence);
        assert!(matches!(panicked, Ending::Fatal(Fatal::Panic { .. })));
        let refused = classify("@pb refused no such fault: `x`", exited(41));
        assert_eq!(refused.status(), Status::Usage);
        assert!(refused.to_string().contains("no such fault: `x`"));
    }

    #[test]
    fn an_end_without_a_report_is_a_crash() {
        assert_eq!(classify(UP, exited(0)), Ending::Reset);
        assert_eq!(classify("", exited(0)), Ending::Reset);
        // This is a crash although the guest reported its end before.
        let done = UP.to_owned() + "@pb done held";
        assert_eq!(classify(&done, exited(0)), Ending::Reset);
        assert_eq!(classify(&done, exited(0)).status(), Status::Crashed);
        let killed = Stop::Exited(ExitStatus::from_raw(9));
        let ending = classify(&done, killed);
        assert!(matches!(ending, Ending::QemuGone(_)));
        assert!(ending.to_string().contains("signal"), "{ending}");
        assert_eq!(ending.status(), Status::Crashed);
        assert!(matches!(classify(UP, exited(1)), Ending::QemuGone(_)));
    }

    #[test]
    fn a_qemu_that_was_ended_is_no_triple_fault() {
        let message = "qemu-system-x86_64: terminating on signal 15 from pid 7 (bash)";
        let ending = classify(UP, Stop::Signalled(message.to_owned()));
        assert_eq!(ending.status(), Status::Crashed);
        assert_eq!(ending.to_string(), format!("another program ended QEMU ({message})"));
    }

    #[test]
    fn a_guest_that_never_started_is_a_failure_of_qemu() {
        let ending = classify("", exited(1));
        assert!(matches!(ending, Ending::NotStarted(_)));
        assert_eq!(ending.status(), Status::Missing);
    }

    #[test]
    fn hangs_name_the_limit() {
        let silence = Stop::Silence(Duration::from_secs(20));
        let ending = classify(UP, silence);
        assert_eq!(ending.status(), Status::Crashed);
        assert!(ending.to_string().contains("20s"), "{ending}");
        let done = UP.to_owned() + "@pb done held";
        let deadline = Stop::Deadline(Duration::from_secs(300));
        let ending = classify(&done, deadline);
        assert_eq!(ending.status(), Status::Crashed);
        assert!(ending.to_string().contains("300s"), "{ending}");
    }

    #[test]
    fn malformed_lines_and_other_versions_are_no_results() {
        let malformed = UP.to_owned() + "@pb pass a@pb done held\n@pb done held";
        let ending = classify(&malformed, exited(33));
        assert!(matches!(ending, Ending::Malformed(_)), "{ending:?}");
        assert_eq!(ending.status(), Status::Crashed);
        let other = classify("@pb hello 99 4 1024\n@pb done held", exited(33));
        assert_eq!(other, Ending::OtherVersion(99));
        assert_eq!(other.status(), Status::Crashed);
    }

    #[test]
    fn an_interruption_has_its_own_status() {
        assert_eq!(classify(UP, Stop::Killed), Ending::Killed);
        assert_eq!(classify(UP, Stop::Killed).status(), Status::Interrupted);
        assert_eq!(classify(UP, Stop::Interrupted).status(), Status::Interrupted);
    }
}
