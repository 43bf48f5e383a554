//! Instruments of the loom models: interrupt points and exclusivity checks.

use std::sync::OnceLock;
use std::thread;

use loom::cell::UnsafeCell;

static INTERRUPT: OnceLock<fn()> = OnceLock::new();

/// Sets what a CPU does at an interrupt point: look whether an interrupt is pending, and serve it.
pub fn set_interrupt(interrupt: fn()) {
    INTERRUPT.get_or_init(|| interrupt);
}

/// A point between two accesses of a protocol between a CPU and the calls that interrupt it.
pub(crate) fn interrupt_point() {
    if let Some(interrupt) = INTERRUPT.get() {
        interrupt();
    }
}

/// Whether the model has failed, so that its locks stay as they are.
pub(crate) fn model_has_failed() -> bool {
    thread::panicking()
}

/// Checks that only one CPU at a time uses what it stands for, and that each sees what the one
/// before it wrote. The model fails if that is not so.
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
