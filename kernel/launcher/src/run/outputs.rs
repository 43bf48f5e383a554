//! Where the results go, beside the tables: JSON, a report and its pictures, a trace.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::command_line::arguments::{Arguments, JsonTarget};
use crate::host::status::Status;
use crate::host::streams;
use crate::report::width::Output;
use crate::run::failure::Failure;

/// Where the results of a run go.
///
/// Files are created before the run, so that a wrong path is reported at once, and removed again if
/// the run has no results.
pub(crate) struct Outputs<'p> {
    json: Option<JsonOutput<'p>>,
    report: Option<OutputFile<'p>>,
    pictures: Option<&'p Path>,
    trace: Option<OutputFile<'p>>,
}

enum JsonOutput<'p> {
    Stdout,
    File(OutputFile<'p>),
}

impl<'p> Outputs<'p> {
    /// Creates the files that the command line names.
    pub(crate) fn create(arguments: &'p Arguments) -> Result<Self, Failure> {
        let json = match &arguments.json {
            None => None,
            Some(JsonTarget::Stdout) => Some(JsonOutput::Stdout),
            Some(JsonTarget::File(path)) => Some(JsonOutput::File(OutputFile::create("--json", path)?)),
        };
        let report = arguments.report.as_deref().map(|path| OutputFile::create("--report", path));
        let pictures = arguments.pictures.as_deref();
        if let Some(folder) = pictures {
            fs::create_dir_all(folder).map_err(|error| Failure {
                status: Status::Usage,
                message: format!("--pictures {}: {error}", folder.display()),
            })?;
        }
        let trace = arguments.trace.as_deref().map(|path| OutputFile::create("--trace", path));
        Ok(Self { json, report: report.transpose()?, pictures, trace: trace.transpose()? })
    }

    /// Where the tables go: JSON has standard output for itself.
    pub(crate) const fn of_tables(&self) -> Output {
        match self.json {
            Some(JsonOutput::Stdout) => Output::Stderr,
            _ => Output::Stdout,
        }
    }

    /// Writes what was asked for. A picture is the name of its file and the SVG.
    pub(crate) fn write(
        self,
        json: impl FnOnce() -> serde_json::Value,
        report: impl FnOnce() -> String,
        pictures: impl FnOnce() -> Vec<(String, String)>,
        trace: impl FnOnce() -> serde_json::Value,
    ) -> Result<(), Failure> {
        match self.json {
            None => {}
            Some(JsonOutput::Stdout) => {
                streams::print(format_args!("{:#}", json())).map_err(Failure::of_stdout)?;
            }
            Some(JsonOutput::File(file)) => file.write(&format!("{:#}\n", json()))?,
        }
        if let Some(file) = self.report {
            file.write(&report())?;
        }
        if let Some(file) = self.trace {
            file.write(&format!("{}\n", trace()))?;
        }
        if let Some(folder) = self.pictures {
            for (name, picture) in pictures() {
                OutputFile::create("--pictures", &folder.join(name))?.write(&picture)?;
            }
        }
        Ok(())
    }
}

/// A file with results.
struct OutputFile<'p> {
    path: &'p Path,
    file: File,
    written: bool,
}

impl<'p> OutputFile<'p> {
    fn create(option: &str, path: &'p Path) -> Result<Self, Failure> {
        match File::create(path) {
            Ok(file) => Ok(Self { path, file, written: false }),
            Err(error) => {
                let message = format!("{option} {}: {error}", path.display());
                Err(Failure { status: Status::Usage, message })
            }
        }
    }

    fn write(mut self, text: &str) -> Result<(), Failure> {
        self.file.write_all(text.as_bytes()).map_err(|error| {
            let message = format!("{}: {error}", self.path.display());
            Failure { status: Status::Missing, message }
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for OutputFile<'_> {
    fn drop(&mut self) {
        // Devices, as in `--json /dev/stdout`, are not removed.
        let is_file = self.file.metadata().is_ok_and(|meta| meta.is_file());
        if !self.written && is_file {
            let _ = fs::remove_file(self.path);
        }
    }
}
