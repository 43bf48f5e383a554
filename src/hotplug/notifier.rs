//! What a kernel is told of ranges that go offline or online.

use core::fmt;

use crate::base::PfnRange;

/// The kernel refuses that a range goes offline or online.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Veto;

impl fmt::Display for Veto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel refused")
    }
}

impl core::error::Error for Veto {}

/// What the kernel is told of ranges that go offline or online, and may refuse. Every method does
/// nothing by default.
pub trait HotplugNotifier {
    /// The range is isolated and about to be emptied. The kernel can refuse here.
    ///
    /// # Errors
    ///
    /// [`Veto`] undoes the isolation; nothing has changed then.
    fn going_offline(&self, _range: PfnRange) -> Result<(), Veto> {
        Ok(())
    }

    /// The range does not go offline after all.
    fn cancel_offline(&self, _range: PfnRange) {}

    /// The range is offline: no frame of it is allocated or will be.
    fn offline(&self, _range: PfnRange) {}

    /// The range is about to be managed again.
    ///
    /// # Errors
    ///
    /// [`Veto`] leaves it offline.
    fn going_online(&self, _range: PfnRange) -> Result<(), Veto> {
        Ok(())
    }

    /// The range is managed again.
    fn online(&self, _range: PfnRange) {}
}

/// A [`HotplugNotifier`] that refuses nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNotifier;

impl HotplugNotifier for NoNotifier {}
