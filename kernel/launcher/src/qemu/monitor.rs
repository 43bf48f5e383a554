//! QEMU's monitor: takes a picture of the guest's display.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// The time that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes the display as it is now into that file, as PNG.
pub fn screenshot(socket: &Path, file: &Path) -> io::Result<()> {
    let mut monitor = Monitor::connect(socket)?;
    monitor.execute(json!({ "execute": "qmp_capabilities" }))?;
    let arguments = json!({ "filename": file, "format": "png" });
    monitor.execute(json!({ "execute": "screendump", "arguments": arguments }))
}

struct Monitor(BufReader<UnixStream>);

impl Monitor {
    fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self(BufReader::new(stream));
        monitor.message()?; // the greeting
        Ok(monitor)
    }

    fn execute(&mut self, command: Value) -> io::Result<()> {
        writeln!(self.0.get_mut(), "{command}")?;
        loop {
            let answer = self.message()?;
            if let Some(error) = answer.get("error") {
                let text = error["desc"].as_str().unwrap_or("QEMU refuses it").to_owned();
                return Err(io::Error::other(text));
            }
            // Other messages are events.
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
    }

    fn message(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(serde_json::from_str(&line)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// Answers as QEMU does, and returns the commands that it got.
    fn qemu(listener: UnixListener, last_answer: &'static str) -> thread::JoinHandle<Vec<String>> {
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            writeln!(stream.get_mut(), r#"{{"QMP": {{}}}}"#).unwrap();
            let answers = [r#"{"return": {}}"#, last_answer];
            let commands = answers.map(|answer| {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                writeln!(stream.get_mut(), r#"{{"event": "X"}}"#).unwrap();
                writeln!(stream.get_mut(), "{answer}").unwrap();
                line
            });
            commands.to_vec()
        })
    }

    #[test]
    fn a_picture_is_asked_for_and_an_error_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let thread = qemu(UnixListener::bind(&socket).unwrap(), r#"{"return": {}}"#);
        screenshot(&socket, Path::new("/x.png")).unwrap();
        let commands = thread.join().unwrap();
        assert!(commands[1].contains("screendump") && commands[1].contains("/x.png"), "{commands:?}");

        std::fs::remove_file(&socket).unwrap();
        let thread = qemu(UnixListener::bind(&socket).unwrap(), r#"{"error": {"desc": "no display"}}"#);
        let error = screenshot(&socket, Path::new("/x.png")).unwrap_err();
        assert_eq!(error.to_string(), "no display");
        thread.join().unwrap();
        assert!(screenshot(&folder.path().join("none"), Path::new("/x.png")).is_err());
    }
}
