//! Instruments of the models, which are empty in every other build.

/// A point at which a model lets an interrupt in. Elsewhere interrupts come at any instruction.
#[inline(always)]
pub(crate) fn interrupt_point() {}

/// Whether a model has failed, so that its locks stay as they are.
#[inline(always)]
pub(crate) const fn model_has_failed() -> bool {
    false
}

/// Checks, in the models, that only one CPU at a time uses what it stands for.
#[derive(Debug)]
pub(crate) struct Exclusive;

impl Exclusive {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn used(&self) {}
}
