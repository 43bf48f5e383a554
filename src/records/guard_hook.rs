//! The kernel's [`GuardPages`] callbacks, if it has set any.

use core::fmt;

use crate::base::{GuardPages, PfnRange};
use crate::sync::Lock;

/// The callbacks. `None` until the kernel sets them.
pub(crate) struct GuardHook(Lock<Option<&'static (dyn GuardPages + Sync)>>);

impl GuardHook {
    pub(crate) fn new() -> Self {
        Self(Lock::new(None))
    }

    pub(crate) fn set(&self, hook: &'static (dyn GuardPages + Sync)) {
        *self.0.lock() = Some(hook);
    }

    #[cold]
    pub(crate) fn keep(&self, frames: PfnRange) {
        if let Some(hook) = *self.0.lock() {
            hook.keep(frames);
        }
    }

    #[cold]
    pub(crate) fn release(&self, frames: PfnRange) {
        if let Some(hook) = *self.0.lock() {
            hook.release(frames);
        }
    }
}

impl fmt::Debug for GuardHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardHook").field("set", &self.0.lock().is_some()).finish()
    }
}
