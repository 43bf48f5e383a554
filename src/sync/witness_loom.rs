//! Instruments of the loom models: interrupt points and exclusivity checks.

use std::sync::OnceLock;
use std::thread;

use loom::cell::UnsafeCell;

static INTERRUPT: OnceLock<fn()> = OnceLock::new();

/// Sets the function that runs at each interrupt point: it runs the handlers that are pending.
pub fn set_interrupt(interrupt: fn()) {
    INTERRUPT.get_or_init(|| interrupt);
}

/// A point at which an interrupt handler may run: between two accesses to data that handlers use.
pub(crate) fn interrupt_point() {
    if let Some(interrupt) = INTERRUPT.get() {
        interrupt();
    }
}

/// Whether the model has failed. Its locks must not be taken any more.
pub(crate) fn model_has_failed() -> bool {
    thread::panicking()
}

/// Checks that the data that it stands for is used by one CPU at a time. The model fails if an
/// access does not happen after the previous one.
#[derive(Debug)]
pub(crate) struct Exclusive(UnsafeCell<()>);

impl Exclusive {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(()))
    }

    pub(crate) fn used(&self) {
        self.0.with_mut(|_| ());
    }
}

/// Checks that data is only read after it was written. The model fails if a read does not happen
/// after the write.
#[derive(Debug)]
pub(crate) struct Written(UnsafeCell<()>);

impl Written {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(()))
    }

    pub(crate) fn write(&self) {
        self.0.with_mut(|_| ());
    }

    pub(crate) fn read(&self) {
        self.0.with(|_| ());
    }
}
