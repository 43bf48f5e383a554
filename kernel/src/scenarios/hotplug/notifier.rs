//! The kernel's side of memory hot-remove and hot-add: counts what it is told, and refuses on demand.

use core::cell::Cell;

use pageblock::{HotplugNotifier, PfnRange, Veto};

/// What the kernel was told.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    /// Calls of all kinds.
    calls: Cell<u64>,
    vetoes: Cell<u64>,
    /// Whether the next question is answered with no.
    refuses: Cell<bool>,
}

impl Notifier {
    pub(super) fn calls(&self) -> u64 {
        self.calls.get()
    }

    pub(super) fn vetoes(&self) -> u64 {
        self.vetoes.get()
    }

    /// Has the next range vetoed.
    pub(super) fn refuse_next(&self) {
        self.refuses.set(true);
    }

    fn hear(&self) {
        self.calls.set(self.calls.get() + 1);
    }

    fn answer(&self) -> Result<(), Veto> {
        self.hear();
        if self.refuses.replace(false) {
            self.vetoes.set(self.vetoes.get() + 1);
            return Err(Veto);
        }
        Ok(())
    }
}

impl HotplugNotifier for Notifier {
    fn going_offline(&self, _: PfnRange) -> Result<(), Veto> {
        self.answer()
    }

    fn cancel_offline(&self, _: PfnRange) {
        self.hear();
    }

    fn offline(&self, _: PfnRange) {
        self.hear();
    }

    fn going_online(&self, _: PfnRange) -> Result<(), Veto> {
        self.answer()
    }

    fn online(&self, _: PfnRange) {
        self.hear();
    }
}
