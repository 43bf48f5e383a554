//! A child process that is killed when the launcher ends, however it ends.
//!
//! Dropping a [`Guarded`] child kills it, which covers every exit of the launcher that returns or
//! unwinds. For the others (`SIGKILL`, an abort), Linux is asked to kill the child with its parent.
#![expect(unsafe_code, reason = "code between fork and exec needs `pre_exec`")]

use std::io;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};

/// A child process that is killed when this value is dropped, or when the spawning thread ends.
#[derive(Debug)]
pub struct Guarded(Child);

impl Guarded {
    /// Starts the command.
    ///
    /// The calling thread must live as long as the child is needed: Linux kills the child when the
    /// thread that started it ends, not when the process does.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        die_with_parent(command);
        command.spawn().map(Self)
    }

    /// The id of the child.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The child's standard output, if it is a pipe and was not taken before.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// The child's standard error, if it is a pipe and was not taken before.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.0.stderr.take()
    }

    /// The child's exit status, if it has exited.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both calls fail only if the child has exited and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    let parent = std::process::id();
    let hook = move || {
        // SAFETY: `prctl` with PR_SET_PDEATHSIG only reads its arguments; SIGKILL is a signal
        // number, widened to the type that the variadic call reads.
        let rc = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
        if rc != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the call took effect.
        if std::os::unix::process::parent_id() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: only async-signal-safe functions may run between fork and exec. The hook calls prctl
    // and getppid, which are async-signal-safe, and does not allocate.
    unsafe { command.pre_exec(hook) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use super::*;

    fn is_running(pid: u32) -> bool {
        // A killed process stays in /proc as a zombie until its parent waits for it.
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
    }

    fn wait_until_gone(pid: u32) {
        let start = Instant::now();
        while is_running(pid) {
            assert!(start.elapsed() < Duration::from_secs(10), "process {pid} still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_dropped_child_is_killed() {
        let child = Guarded::spawn(Command::new("sleep").arg("600")).unwrap();
        let pid = child.id();
        assert!(is_running(pid));
        drop(child);
        assert!(!is_running(pid));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_child_dies_with_the_thread_that_spawned_it() {
        // The thread does not drop the child, as a killed process would not.
        let pid = std::thread::spawn(|| {
            let child = Guarded::spawn(Command::new("sleep").arg("600")).unwrap();
            let pid = child.id();
            std::mem::forget(child);
            pid
        })
        .join()
        .unwrap();
        wait_until_gone(pid);
    }

    #[test]
    fn the_status_of_an_exited_child_is_reported() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 33"]).stdout(Stdio::piped());
        let mut child = Guarded::spawn(&mut command).unwrap();
        assert!(child.take_stdout().is_some());
        assert!(child.take_stdout().is_none());
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(status.code(), Some(33));
    }
}
