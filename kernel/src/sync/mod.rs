//! Primitives that need nothing else of the kernel: a lock, and a cell for a function pointer.

mod hook;
mod lock;

pub(crate) use hook::Hook;
pub(crate) use lock::{Lock, SpinThenHalt};
