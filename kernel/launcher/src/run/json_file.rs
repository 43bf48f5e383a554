//! Where the results go as JSON.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::command_line::arguments::JsonTarget;
use crate::host::status::Status;
use crate::run::failure::Failure;

/// Where the results go as JSON.
pub(crate) enum JsonOutput<'p> {
    /// Standard output.
    Stdout,
    /// A file.
    File(JsonFile<'p>),
}

impl<'p> JsonOutput<'p> {
    /// Opens the target, so that a wrong path is reported before the run.
    pub(crate) fn open(target: &'p JsonTarget) -> Result<Self, Failure> {
        match target {
            JsonTarget::Stdout => Ok(Self::Stdout),
            JsonTarget::File(path) => JsonFile::create(path).map(Self::File),
        }
    }

    pub(crate) fn write(self, object: &serde_json::Value) -> Result<(), Failure> {
        match self {
            Self::Stdout => {
                println!("{object:#}");
                Ok(())
            }
            Self::File(file) => file.write(object),
        }
    }
}

/// The file of `--json`.
///
/// It is created before the run, so that a wrong path is reported at once, and removed again if the
/// run has no results.
pub(crate) struct JsonFile<'p> {
    path: &'p Path,
    file: File,
    written: bool,
}

impl<'p> JsonFile<'p> {
    fn create(path: &'p Path) -> Result<Self, Failure> {
        match File::create(path) {
            Ok(file) => Ok(Self { path, file, written: false }),
            Err(error) => {
                let message = format!("--json {}: {error}", path.display());
                Err(Failure { status: Status::Usage, message })
            }
        }
    }

    fn write(mut self, object: &serde_json::Value) -> Result<(), Failure> {
        writeln!(self.file, "{object:#}").map_err(|error| {
            let message = format!("{}: {error}", self.path.display());
            Failure { status: Status::Missing, message }
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for JsonFile<'_> {
    fn drop(&mut self) {
        // Devices, as in `--json /dev/stdout`, are not removed.
        let is_file = self.file.metadata().is_ok_and(|meta| meta.is_file());
        if !self.written && is_file {
            let _ = fs::remove_file(self.path);
        }
    }
}
