//! `cargo run -- [SCENARIO] [OPTIONS]`: builds the kernel, boots it, watches it
//! and shows what it found. The parts are in the library beside this file.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use pageblock_launcher::accel::Accel;
use pageblock_launcher::arguments::{Arguments, Request};
use pageblock_launcher::boot::{Interrupt, Limits, Outcome};
use pageblock_launcher::example;
use pageblock_launcher::image::Messages;
use pageblock_launcher::judgement::Judgement;
use pageblock_launcher::qemu::{Debugger, GDB_PORT, Machine, Qemu};
use pageblock_launcher::report::post_mortem::PostMortem;
use pageblock_launcher::report::progress::Show;
use pageblock_launcher::report::{Run, json, table};
use pageblock_launcher::rig::{BootError, Missing, Rig};
use pageblock_launcher::scenarios::Story;
use pageblock_launcher::series;
use pageblock_launcher::status::Status;
use pageblock_protocol::BootConfig;

static INTERRUPT: Interrupt = Interrupt::new();

fn main() -> ExitCode {
    // End quietly, and QEMU with us, when our output goes to something that closes early.
    sigpipe::reset();
    let arguments = Arguments::from_command_line();
    let status = match arguments.scenario {
        Request::List => {
            println!("{}", table::scenarios());
            Status::Held
        }
        Request::Example => example::run(&arguments, &INTERRUPT).unwrap_or_else(|missing| {
            eprintln!("error: {missing}");
            Status::Missing
        }),
        Request::Tell(story) => tell(story, &arguments).unwrap_or_else(|(status, message)| {
            eprintln!("error: {message}");
            status
        }),
    };
    status.into()
}

/// Why nothing could be shown.
type Failure = (Status, String);

fn tell(story: &Story, arguments: &Arguments) -> Result<Status, Failure> {
    // Without a handler Ctrl-C still works, if less politely.
    let _ = ctrlc::set_handler(|| INTERRUPT.set());
    let json_file = arguments.json.as_deref().map(JsonFile::create).transpose()?;
    let rig = prepare(arguments).map_err(|error| {
        if INTERRUPT.is_set() {
            return (Status::Interrupted, "interrupted".to_owned());
        }
        (Status::Missing, error.to_string())
    })?;
    if arguments.debugger() == Debugger::Wait {
        announce_debugger(&rig);
    }

    let mut show = if arguments.serial { Show::Serial } else { Show::bar() };
    let (machine, outcome) =
        boot_all(story, arguments, &rig, &mut show).map_err(|error| (Status::Missing, error.to_string()))?;
    show.finish();

    let judgement = Judgement::of(story, machine, &outcome);
    if judgement.has_results() {
        let run = Run { story, arguments, outcome: &outcome, judgement: &judgement };
        println!("{}", table::results(&run));
        if let Some(file) = json_file {
            file.write(&json::object(&run))?;
        }
    } else {
        eprintln!("error: {judgement}");
        if judgement.status == Status::Crashed || judgement.status == Status::Missing {
            let qemu = &rig.qemu;
            let outcome = &outcome;
            eprintln!("{}", PostMortem { outcome, qemu });
        }
    }
    Ok(judgement.status)
}

/// Boots as often as the story takes, and says on which machine first: the outcome's first words are that one's. A boot
/// without results is the last one, and all there is.
fn boot_all(
    story: &Story,
    arguments: &Arguments,
    rig: &Rig,
    show: &mut Show,
) -> Result<(Machine, Outcome), BootError> {
    let boots = arguments.boots(story);
    let mut sum: Option<(Machine, Outcome)> = None;
    for (number, (machine, config)) in boots.iter().enumerate() {
        if boots.len() > 1 {
            let what = config.fault.map_or_else(|| machine.to_string(), str::to_owned);
            show.begin(&format!("{}/{} {what}", number + 1, boots.len()));
        }
        let used = sum.as_ref().map_or(Duration::ZERO, |(_, sum)| sum.took);
        let limits = limits(story, arguments, config, used);
        let next = rig.boot(*machine, arguments.debugger(), config, limits, &INTERRUPT, show)?;
        if !Judgement::of(story, *machine, &next).has_results() {
            return Ok((*machine, next));
        }
        sum = Some(match sum {
            None => (*machine, next),
            Some((first, sum)) => (first, series::join(sum, next)),
        });
    }
    Ok(sum.expect("every story takes at least one boot"))
}

fn prepare(arguments: &Arguments) -> Result<Rig, Missing> {
    match &arguments.image {
        None => Rig::prepare(
            &arguments.qemu,
            arguments.clock(),
            arguments.accel,
            arguments.instruments(),
            Messages::Shown,
        ),
        Some(image) => Ok(Rig {
            qemu: Qemu::find(&arguments.qemu)?,
            accel: Accel::choose_for(arguments.clock(), arguments.accel)?,
            image: image.clone(),
        }),
    }
}

/// A debugger may hold the guest for as long as it likes, unless told otherwise.
/// The user's limit is for all boots together, and some of it is used up already.
fn limits(story: &Story, arguments: &Arguments, config: &BootConfig<'_>, used: Duration) -> Limits {
    let timeout = arguments.timeout().map(|timeout| timeout.saturating_sub(used));
    match (arguments.debugger(), timeout) {
        (Debugger::Wait, timeout) => Limits { deadline: timeout, silence: None },
        (Debugger::None, timeout) => Limits {
            deadline: Some(timeout.unwrap_or_else(|| story.deadline(config))),
            silence: Some(story.silence(config)),
        },
    }
}

fn announce_debugger(rig: &Rig) {
    eprintln!(
        "The guest waits for a debugger. In another terminal:\n  \
         gdb -ex 'target remote :{GDB_PORT}' -ex 'hbreak kernel_main' -ex continue {}",
        rig.image.display()
    );
}

/// The file of `--json`, made before the run so that a wrong path is told before
/// anyone has waited. A run without results leaves none behind.
struct JsonFile<'p> {
    path: &'p Path,
    file: File,
    written: bool,
}

impl<'p> JsonFile<'p> {
    fn create(path: &'p Path) -> Result<Self, Failure> {
        match File::create(path) {
            Ok(file) => Ok(Self { path, file, written: false }),
            Err(error) => Err((Status::Usage, format!("--json {}: {error}", path.display()))),
        }
    }

    fn write(mut self, object: &serde_json::Value) -> Result<(), Failure> {
        writeln!(self.file, "{object:#}")
            .map_err(|error| (Status::Missing, format!("{}: {error}", self.path.display())))?;
        self.written = true;
        Ok(())
    }
}

impl Drop for JsonFile<'_> {
    fn drop(&mut self) {
        // Only a file: `--json /dev/stdout` is not ours to remove.
        let is_file = self.file.metadata().is_ok_and(|meta| meta.is_file());
        if !self.written && is_file {
            let _ = fs::remove_file(self.path);
        }
    }
}
