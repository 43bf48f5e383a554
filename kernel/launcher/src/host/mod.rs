//! The machine that the launcher runs on: child processes and their memory, the shell, Ctrl-C, exit
//! statuses.
//!
//! Files, the lowest first: `description`, `interrupt`, `process`, `resident`, `shell`, `status`,
//! `streams`.

pub(crate) mod description;
pub(crate) mod interrupt;
pub(crate) mod process;
pub(crate) mod resident;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod streams;

pub use interrupt::Interrupt;
pub use process::Guarded;
pub use resident::resident_bytes;
pub use status::Status;
pub use streams::say;
