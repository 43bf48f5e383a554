//! Callbacks to the kernel before and after a range goes offline or online.

use core::fmt;

use crate::base::PfnRange;

/// The kernel refuses to let a range go offline or online.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Veto;

impl fmt::Display for Veto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the notifier refused")
    }
}

impl core::error::Error for Veto {}

/// Callbacks before and after a range goes offline or online, with no lock of the allocator held.
///
/// The default of each method does nothing and refuses nothing.
pub trait HotplugNotifier {
    /// The range is isolated, and its pages are about to be migrated.
    ///
    /// # Errors
    ///
    /// [`Veto`] refuses. The isolation is undone then.
    fn going_offline(&self, _range: PfnRange) -> Result<(), Veto> {
        Ok(())
    }

    /// A page could not be migrated: the range does not go offline.
    fn cancel_offline(&self, _range: PfnRange) {}

    /// The range is offline: none of its frames is allocated or can be.
    fn offline(&self, _range: PfnRange) {}

    /// The range is about to go online.
    ///
    /// # Errors
    ///
    /// [`Veto`] refuses. The range stays offline then.
    fn going_online(&self, _range: PfnRange) -> Result<(), Veto> {
        Ok(())
    }

    /// The range is online: its frames are free.
    fn online(&self, _range: PfnRange) {}
}

/// A [`HotplugNotifier`] that refuses nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNotifier;

impl HotplugNotifier for NoNotifier {}
