//! Runs the in-kernel test cases, for the test harness in `tests/in_kernel.rs`.
//!
//! Files, the lowest first: `end`, `batch`, `runner`.

pub(crate) mod batch;
pub(crate) mod end;
pub(crate) mod runner;

pub use batch::Serial;
pub use end::CaseEnd;
pub use runner::{CaseRunner, ListError, Summary};
