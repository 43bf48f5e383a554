//! The one place that says where locks and atomics come from.
//!
//! The kernel gets `spin` and `core`; the models get loom's, compiled from the same source with
//! `cfg(loom)`. Nothing else in the crate names either.
//!
//! [`Lock`] spins without masking interrupts: the callers do that (see
//! [`Platform`](crate::Platform)). It is a test-and-set lock rather than a ticket lock, because a
//! virtual CPU that holds a ticket may not be running.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

#[cfg(not(loom))]
type Raw<T> = spin::mutex::SpinMutex<T>;
#[cfg(not(loom))]
pub(crate) type Guard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;

#[cfg(loom)]
type Raw<T> = loom::sync::Mutex<T>;
#[cfg(loom)]
pub(crate) type Guard<'a, T> = loom::sync::MutexGuard<'a, T>;

/// Says that we are waiting for another CPU.
pub(crate) fn spin_hint() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// A spin lock around what it protects.
#[derive(Debug)]
pub(crate) struct Lock<T>(Raw<T>);

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Raw::new(value))
    }

    #[cfg(not(loom))]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock()
    }

    #[cfg(loom)]
    #[expect(clippy::unwrap_used, reason = "a poisoned model has failed already")]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap()
    }
}
