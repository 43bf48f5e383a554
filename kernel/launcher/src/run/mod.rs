//! What the binary does: runs a scenario, or boots an example.
//!
//! Files, the lowest first: `debugger`, `failure`, `outputs`, `example`, `scenario`.

pub(crate) mod debugger;
pub(crate) mod example;
pub(crate) mod failure;
pub(crate) mod outputs;
pub(crate) mod scenario;

pub use example::run as example;
pub use failure::Failure;
pub use scenario::run as scenario;
