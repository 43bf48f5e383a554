//! The locks and atomics of shuttle, for the random schedules.

#![expect(unsafe_code, reason = "the signature is that of the native `load_own`")]

pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};
pub(crate) use shuttle::sync::{Mutex as Raw, MutexGuard as Guard};
pub(crate) use shuttle::thread::yield_now as spin_hint;

pub(crate) unsafe fn load_own(cell: &AtomicU8) -> u8 {
    cell.load(Ordering::Relaxed)
}

/// The light half of the asymmetric barrier: empty, because shuttle is sequentially consistent.
pub(crate) fn light_barrier() {}

pub(super) fn lock<T>(raw: &Raw<T>) -> Guard<'_, T> {
    raw.lock().unwrap()
}

pub(super) fn try_lock<T>(raw: &Raw<T>) -> Option<Guard<'_, T>> {
    raw.try_lock().ok()
}
