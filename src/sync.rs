//! The one place that says where locks and atomics come from.
//!
//! The kernel gets `spin` and `core`; the models get loom's, compiled from the same source with
//! `cfg(loom)`. Nothing else in the crate names either.
//!
//! [`Lock`] spins without masking interrupts: the callers do that (see
//! [`Platform`](crate::Platform)). It is a test-and-set lock rather than a ticket lock, because a
//! virtual CPU that holds a ticket may not be running.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, Ordering};

// The same in every build, for what the models leave out: a field that only the holder of some lock uses, or one that no other
// thread acts on. A model is as large as its number of modelled accesses.
pub(crate) use core::sync::atomic::{
    AtomicU32 as PlainU32, AtomicU64 as PlainU64, AtomicUsize as PlainUsize,
};
#[cfg(feature = "faults")]
pub(crate) use spin::rwlock::RwLock as PlainRwLock;

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
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap()
    }
}
