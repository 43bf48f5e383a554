//! The locks of `spin` and the atomics of `core`, for kernels and hosted programs.

#![expect(unsafe_code, reason = "a CPU reads a mark that only it writes without an atomic load")]

pub(crate) use core::hint::spin_loop as spin_hint;
pub(crate) use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
pub(crate) use spin::mutex::{SpinMutex as Raw, SpinMutexGuard as Guard};

/// What this thread, the only writer, wrote last. The compiler may fold this load into another
/// instruction, which it never does with an atomic load.
///
/// # Safety
///
/// No other thread may ever write there.
#[inline(always)]
pub(crate) unsafe fn load_own(cell: &AtomicU8) -> u8 {
    // SAFETY: the pointer is valid, and the caller promises that no other thread writes there.
    unsafe { *cell.as_ptr() }
}

/// The cheap half of an asymmetric pair of barriers, whose expensive half is
/// [`Platform::barrier_on_every_cpu`](crate::Platform::barrier_on_every_cpu): it keeps the
/// compiler, and only the compiler, from moving accesses across.
#[inline(always)]
pub(crate) fn light_barrier() {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

#[inline]
pub(super) fn lock<T>(raw: &Raw<T>) -> Guard<'_, T> {
    raw.lock()
}
