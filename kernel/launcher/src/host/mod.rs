//! The machine that the launcher runs on: child processes, the shell, Ctrl-C, exit statuses.
//!
//! Files, the lowest first: `description`, `interrupt`, `process`, `shell`, `status`.

pub(crate) mod description;
pub(crate) mod interrupt;
pub(crate) mod process;
pub(crate) mod shell;
pub(crate) mod status;

pub use interrupt::Interrupt;
pub use process::Guarded;
pub use status::Status;
