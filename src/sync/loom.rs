//! The locks and atomics of loom, for the models.

#![expect(unsafe_code, reason = "the signature is that of the native `load_own`")]

use super::witness::interrupt_point;

pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};
pub(crate) use loom::sync::{Mutex as Raw, MutexGuard as Guard};
pub(crate) use loom::thread::yield_now as spin_hint;

pub(crate) unsafe fn load_own(cell: &AtomicU8) -> u8 {
    cell.load(Ordering::Relaxed)
}

/// The light half of the asymmetric barrier. The heavy half is an inter-processor interrupt in the
/// models, as in a kernel, and this is a point at which it may arrive.
pub(crate) fn light_barrier() {
    interrupt_point();
}

pub(super) fn lock<T>(raw: &Raw<T>) -> Guard<'_, T> {
    raw.lock().unwrap()
}

pub(super) fn try_lock<T>(raw: &Raw<T>) -> Option<Guard<'_, T>> {
    raw.try_lock().ok()
}
