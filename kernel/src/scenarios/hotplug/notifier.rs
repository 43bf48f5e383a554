//! The kernel's hotplug notifier: counts its calls, and vetoes on demand.

use core::cell::Cell;

use pageblock::{HotplugNotifier, PfnRange, Veto};

/// The calls of the notifier.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    calls: Cell<u64>,
    vetoes: Cell<u64>,
    /// Whether the next range is vetoed.
    vetoes_next: Cell<bool>,
}

impl Notifier {
    pub(super) fn calls(&self) -> u64 {
        self.calls.get()
    }

    pub(super) fn vetoes(&self) -> u64 {
        self.vetoes.get()
    }

    /// Vetoes the next range.
    pub(super) fn veto_next(&self) {
        self.vetoes_next.set(true);
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }

    fn decide(&self) -> Result<(), Veto> {
        self.count();
        if self.vetoes_next.replace(false) {
            self.vetoes.set(self.vetoes.get() + 1);
            return Err(Veto);
        }
        Ok(())
    }
}

impl HotplugNotifier for Notifier {
    fn going_offline(&self, _: PfnRange) -> Result<(), Veto> {
        self.decide()
    }

    fn cancel_offline(&self, _: PfnRange) {
        self.count();
    }

    fn offline(&self, _: PfnRange) {
        self.count();
    }

    fn going_online(&self, _: PfnRange) -> Result<(), Veto> {
        self.decide()
    }

    fn online(&self, _: PfnRange) {
        self.count();
    }
}
