//! Instruments of the models: interrupt points and exclusivity checks. Empty in every other build.

/// A point at which a model may run an interrupt handler.
#[inline(always)]
pub(crate) fn interrupt_point() {}

/// Whether a model has failed. Its locks must not be taken any more.
#[inline(always)]
pub(crate) const fn model_has_failed() -> bool {
    false
}

/// Checks in the models that only one CPU at a time uses the data that it stands for.
#[derive(Debug)]
pub(crate) struct Exclusive;

impl Exclusive {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn used(&self) {}
}

/// Checks in the models that data which is written once is only read after that.
#[derive(Debug)]
pub(crate) struct Written;

impl Written {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn write(&self) {}

    #[inline(always)]
    pub(crate) fn read(&self) {}
}
