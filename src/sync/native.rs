//! The locks of `spin` and the atomics of `core`, for kernels and hosted programs.

#![expect(unsafe_code, reason = "a byte that only its own CPU writes is read with a volatile load")]

pub(crate) use core::hint::spin_loop as spin_hint;
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};
pub(crate) use spin::mutex::{SpinMutex as Raw, SpinMutexGuard as Guard};

/// Loads a byte that only this CPU writes: the code that calls this, and interrupt handlers.
///
/// A volatile load is what code needs that shares a byte with a handler of its own CPU (the
/// `volatile sig_atomic_t` of C). It costs nothing: the compiler folds it into the comparison,
/// which it never does with an atomic load.
///
/// # Safety
///
/// No other thread may ever write the byte.
#[inline(always)]
pub(crate) unsafe fn load_own(cell: &AtomicU8) -> u8 {
    // SAFETY: the pointer is valid, and the caller promises that no other thread writes the byte.
    unsafe { cell.as_ptr().read_volatile() }
}

/// The light half of an asymmetric pair of barriers: a compiler barrier. The heavy half is
/// [`Platform::barrier_on_every_cpu`](crate::Platform::barrier_on_every_cpu).
#[inline(always)]
pub(crate) fn light_barrier() {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

#[inline]
pub(super) fn lock<T>(raw: &Raw<T>) -> Guard<'_, T> {
    raw.lock()
}

#[inline]
pub(super) fn try_lock<T>(raw: &Raw<T>) -> Option<Guard<'_, T>> {
    raw.try_lock()
}
