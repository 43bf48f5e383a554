//! QEMU's monitor (QMP): a picture of the guest's display, and properties of devices.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// The time that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes the display as it is now into that file, as PNG.
pub fn screenshot(socket: &Path, file: &Path) -> io::Result<()> {
    let arguments = json!({ "filename": file, "format": "png" });
    Monitor::connect(socket)?.execute("screendump", arguments).map(drop)
}

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub struct Monitor(BufReader<UnixStream>);

impl Monitor {
    /// Connects to the socket at which the monitor listens.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self(BufReader::new(stream));
        monitor.message()?; // the greeting
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Has QEMU execute a command, and returns what it returns. If QEMU refuses the command, the
    /// error is QEMU's description of why.
    pub fn execute(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        let command = json!({ "execute": command, "arguments": arguments });
        writeln!(self.0.get_mut(), "{command}")?;
        loop {
            let mut answer = self.message()?;
            if let Some(error) = answer.get("error") {
                let text = error["desc"].as_str().unwrap_or("QEMU refuses it").to_owned();
                return Err(io::Error::other(text));
            }
            // Other messages are events.
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Sets a property of the device with that id.
    pub fn set_property(&mut self, id: &str, property: &str, value: u64) -> io::Result<()> {
        let path = format!("/machine/peripheral/{id}");
        self.execute("qom-set", json!({ "path": path, "property": property, "value": value })).map(drop)
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

    /// Answers as QEMU does, to the connection and then with these answers, each after an event.
    /// Returns the commands that it got after the connection.
    fn qemu(socket: &Path, answers: &'static [&'static str]) -> thread::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(socket).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            writeln!(stream.get_mut(), r#"{{"QMP": {{}}}}"#).unwrap();
            let mut answer = |answer: &str| {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                writeln!(stream.get_mut(), r#"{{"event": "X"}}"#).unwrap();
                writeln!(stream.get_mut(), "{answer}").unwrap();
                line
            };
            assert!(answer(r#"{"return": {}}"#).contains("qmp_capabilities"));
            answers.iter().map(|text| answer(text)).collect()
        })
    }

    #[test]
    fn a_picture_is_asked_for_and_an_error_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let thread = qemu(&socket, &[r#"{"return": {}}"#]);
        screenshot(&socket, Path::new("/x.png")).unwrap();
        let commands = thread.join().unwrap();
        assert!(commands[0].contains("screendump") && commands[0].contains("/x.png"), "{commands:?}");

        std::fs::remove_file(&socket).unwrap();
        let thread = qemu(&socket, &[r#"{"error": {"desc": "no display"}}"#]);
        let error = screenshot(&socket, Path::new("/x.png")).unwrap_err();
        assert_eq!(error.to_string(), "no display");
        thread.join().unwrap();
        assert!(screenshot(&folder.path().join("none"), Path::new("/x.png")).is_err());
    }

    #[test]
    fn properties_are_set_and_answers_are_returned() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let answers = &[r#"{"return": {}}"#, r#"{"return": {"x": 4}}"#, r#"{"error": {"desc": "no"}}"#];
        let thread = qemu(&socket, answers);
        let mut monitor = Monitor::connect(&socket).unwrap();
        monitor.set_property("m", "requested-size", 4_194_304).unwrap();
        assert_eq!(monitor.execute("query-x", json!({})).unwrap()["x"], 4);
        assert_eq!(monitor.set_property("m", "size", 1).unwrap_err().to_string(), "no");
        let commands = thread.join().unwrap();
        for word in ["qom-set", "/machine/peripheral/m", "requested-size", "4194304"] {
            assert!(commands[0].contains(word), "{commands:?}");
        }
    }
}
