//! The command line: its definition, its check, and the run that it asks for.
//!
//! Files, the lowest first: `arguments`, `definition`, `plan`, `parse`, `options`.

pub(crate) mod arguments;
pub(crate) mod definition;
pub(crate) mod options;
pub(crate) mod parse;
pub(crate) mod plan;

pub use arguments::{Arguments, Emulation, ExampleArguments, JsonTarget, Request};
pub use parse::{from_process, from_words};
pub use plan::Plan;
