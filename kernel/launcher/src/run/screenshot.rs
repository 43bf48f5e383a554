//! `--screenshot`: a picture of the guest's display in the middle of the run.

use std::path::{self, Path, PathBuf};
use std::{env, fs, io, process};

use pageblock_protocol::Line;

use crate::guest::boot::Listener;
use crate::host::status::Status;
use crate::qemu::machine::Screen;
use crate::qemu::monitor;
use crate::run::failure::Failure;

/// The display for a run with that option.
pub(crate) fn hidden_screen() -> Screen {
    Screen::Hidden { monitor: env::temp_dir().join(format!("pageblock-{}.qmp", process::id())) }
}

/// Takes the picture when half of the work of the first boot is done.
pub(crate) struct Camera<'p> {
    /// The socket of QEMU's monitor.
    monitor: PathBuf,
    file: &'p Path,
    taken: Option<io::Result<()>>,
}

impl<'p> Camera<'p> {
    /// Takes the picture of that screen into that file. `None` if nothing can take pictures of it.
    pub(crate) fn new(screen: &Screen, file: &'p Path) -> Option<Self> {
        match screen {
            Screen::Hidden { monitor } => Some(Self { monitor: monitor.clone(), file, taken: None }),
            Screen::None | Screen::Window => None,
        }
    }

    fn take_if_due(&mut self, line: &Line<'_>) {
        if let Line::Progress { done, total, .. } = line
            && 2 * done >= *total
            && self.taken.is_none()
        {
            // QEMU gets the whole path, so that it need not be in the folder of the launcher.
            let file = path::absolute(self.file);
            self.taken = Some(file.and_then(|file| monitor::screenshot(&self.monitor, &file)));
        }
    }

    /// Whether there is a picture, once all boots are over.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        // The socket is gone already if QEMU ended by itself.
        let _ = fs::remove_file(&self.monitor);
        let why = match self.taken {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => error.to_string(),
            None => "the run ended before its middle".to_owned(),
        };
        let message = format!("--screenshot {}: {why}", self.file.display());
        Err(Failure { status: Status::Missing, message })
    }
}

/// Has a camera and another listener receive everything.
pub(crate) struct WithCamera<'l, 'p> {
    pub(crate) camera: Option<&'l mut Camera<'p>>,
    pub(crate) listener: &'l mut dyn Listener,
}

impl Listener for WithCamera<'_, '_> {
    fn receive(&mut self, raw: &str, line: Option<&Line<'_>>) {
        if let (Some(camera), Some(line)) = (&mut self.camera, line) {
            camera.take_if_due(line);
        }
        self.listener.receive(raw, line);
    }

    fn started(&mut self, pid: u32) {
        self.listener.started(pid);
    }

    fn tick(&mut self) {
        self.listener.tick();
    }
}
