//! Runs the in-kernel test cases, for the test harness in `tests/kernel.rs`.

pub(crate) mod batch;
pub(crate) mod end;
pub(crate) mod runner;

pub use batch::Serial;
pub use end::CaseEnd;
pub use runner::{CaseRunner, ListError, Summary};
