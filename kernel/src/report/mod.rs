//! What the kernel prints on COM1.
//!
//! | file | what |
//! |---|---|
//! | `console` | protocol lines, and log text between them |
//! | `lines` | shorthands for the lines of scenarios |
//! | `samples` | samples for the pictures of a report |
//! | `events` | the last events of the allocator on each CPU; `events_off` if none are kept |
//! | `panic` | the report of a panic or of an unhandled exception, which ends the kernel |

mod console;
#[cfg_attr(not(feature = "trace"), path = "events_off.rs")]
pub(crate) mod events;
mod lines;
mod panic;
pub(crate) mod samples;

pub(crate) use console::{line, place};
pub(crate) use lines::{is_progress_due, note, progress, progress_at_end, row, stats};

use crate::arch::trap;

/// Opens the console, and has unhandled exceptions reported on it.
pub(crate) fn init() {
    console::init();
    trap::set_unhandled_hook(panic::unhandled_exception);
}
