//! What the binary does: runs a scenario, or boots an example.
//!
//! Files, the lowest first: `debugger`, `failure`, `outputs`, `screenshot`, `targets`, `example`,
//! `scenario`.

pub(crate) mod debugger;
pub(crate) mod example;
pub(crate) mod failure;
pub(crate) mod outputs;
pub(crate) mod scenario;
pub(crate) mod screenshot;
pub(crate) mod targets;

pub use example::run as example;
pub use failure::Failure;
pub use scenario::run as scenario;
