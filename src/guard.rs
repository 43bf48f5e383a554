//! Guard pages: leftovers next to an allocation that nobody may touch, to catch who writes over its end.
//!
//! With [`Tuning::guard_below`](crate::Tuning::guard_below) set, halves of a lower order that an allocation's split leaves over are kept as
//! guards instead of being filed. A guard is on no list and counted as nothing but a guard; when its buddy comes back the two
//! merge, and the pages are counted as what they become part of, also in an isolated block. (Linux keeps the
//! counting of guards apart from that of lists: it was wrong in 2014 and is wrong again since v6.10.)
//!
//! A kernel that wants the touch to fault unmaps guards: [`GuardPages`] is told, with the zone locked, before a guard can be
//! allocated again. `debug_guardpage_minorder` in Linux. Neighbour: [`buddy`](crate::buddy).

use core::fmt;

use crate::pfn::PfnRange;
use crate::sync::Lock;

/// Told when frames become guards and when they cease to be.
///
/// Called with a zone locked and interrupts masked: it must not call the allocator, and must not wait for a CPU that may be
/// waiting for the zone (so: no TLB shootdown with acknowledgement; flush this CPU, and others when they get there).
pub trait GuardPages {
    /// The frames are guards now: unmap them, if you like.
    fn keep(&self, frames: PfnRange);
    /// The frames are about to be ordinary again: map them back.
    fn release(&self, frames: PfnRange);
}

/// Who is told, if anybody.
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
