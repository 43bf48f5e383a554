//! `cargo run -- [COMMAND] [OPTIONS]`: the launcher's binary. Its parts are in the library.

use std::process::ExitCode;

use pageblock_launcher::command_line::{self, Request};
use pageblock_launcher::host::{Interrupt, Status, say};
use pageblock_launcher::{report, run};

static INTERRUPT: Interrupt = Interrupt::new();

fn main() -> ExitCode {
    // If a reader closes our output early, this process ends quietly, and QEMU with it.
    sigpipe::reset();
    let request = command_line::from_process();
    // If no handler can be set, Ctrl-C ends this process at once, and QEMU with it.
    let _ = ctrlc::set_handler(|| INTERRUPT.set());
    let outcome = match request {
        Request::List => report::scenarios().map(|()| Status::Held).map_err(run::Failure::of_stdout),
        Request::Example(arguments) => run::example(&arguments, &INTERRUPT),
        Request::Run(arguments) => run::scenario(&arguments, &INTERRUPT),
    };
    let status = outcome.unwrap_or_else(|failure| {
        say(format_args!("error: {failure}"));
        failure.status
    });
    status.into()
}
