//! Builds kernel images with a second cargo, for the best target that is installed.
//!
//! Files, the lowest first: `environment`, `build`.

pub(crate) mod build;
pub(crate) mod environment;

pub use build::{BuildError, EXAMPLES, Instruments, Messages, build, build_example};
pub use environment::clear_build_environment;
