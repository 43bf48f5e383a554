//! The flag that Ctrl-C sets.

use std::sync::atomic::{AtomicBool, Ordering};

/// A request of the user to stop. Everything that waits for QEMU polls it.
#[derive(Debug, Default)]
pub struct Interrupt(AtomicBool);

impl Interrupt {
    /// A flag that is not set.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Requests a stop. Any thread, and a signal handler's thread, may call this.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was requested.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
