//! The kernel's [`Trace`](crate::Trace), if it has set one, with the feature `trace`. Without the
//! feature nothing is left of it.

use core::fmt;

#[cfg(feature = "trace")]
use crate::base::Trace;
use crate::base::TraceEvent;
#[cfg(feature = "trace")]
use crate::sync::PlainRwLock;

pub(crate) struct TraceHook(#[cfg(feature = "trace")] PlainRwLock<Option<&'static (dyn Trace + Sync)>>);

impl TraceHook {
    pub(crate) fn new() -> Self {
        Self(
            #[cfg(feature = "trace")]
            PlainRwLock::new(None),
        )
    }

    #[cfg(feature = "trace")]
    pub(crate) fn set(&self, trace: Option<&'static (dyn Trace + Sync)>) {
        *self.0.write() = trace;
    }

    /// Reports the event that `event` returns, which is called only if somebody listens.
    #[inline(always)]
    pub(crate) fn emit(&self, event: impl FnOnce() -> TraceEvent) {
        #[cfg(feature = "trace")]
        if let Some(trace) = *self.0.read() {
            trace.event(event());
        }
        #[cfg(not(feature = "trace"))]
        let _ = event;
    }
}

impl fmt::Debug for TraceHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceHook")
    }
}
