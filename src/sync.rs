//! The one place that says where locks and atomics come from.
//!
//! The kernel gets `spin` and `core`; the models get loom's and the random schedules shuttle's, compiled from the same source with
//! `cfg(loom)` or `cfg(shuttle)` (see `tests/models` and `tests/schedules`). Nothing else in the crate names any of them.
//!
//! [`Lock`] spins without masking interrupts: the callers do that (see
//! [`Platform`](crate::Platform)). It is a test-and-set lock rather than a ticket lock, because a
//! virtual CPU that holds a ticket may not be running. `witness` has the places where a model lets interrupts in and looks that
//! nobody is where only one may be; otherwise it is nothing.

#[cfg(not(any(loom, shuttle)))]
mod source {
    #![expect(unsafe_code, reason = "a CPU reads a mark of its own without an atomic load")]

    pub(crate) use core::hint::spin_loop as spin_hint;
    pub(crate) use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
    pub(crate) use spin::mutex::{SpinMutex as Raw, SpinMutexGuard as Guard};

    /// What this thread, the only writer, wrote last: a load that may be part of another instruction, which those of atomics never
    /// are.
    ///
    /// # Safety
    ///
    /// No other thread may write there, ever.
    #[inline(always)]
    pub(crate) unsafe fn own(cell: &AtomicU8) -> u8 {
        // SAFETY: a valid pointer, and nobody else ever writes there, says the caller.
        unsafe { *cell.as_ptr() }
    }

    /// The cheap half of a pair of barriers, of which [`Platform::barrier_on_every_cpu`](crate::Platform::barrier_on_every_cpu) is the
    /// dear one: keeps the compiler, and only it, from moving accesses across.
    #[inline(always)]
    pub(crate) fn light_barrier() {
        core::sync::atomic::compiler_fence(Ordering::SeqCst);
    }

    #[inline]
    pub(super) fn lock<T>(raw: &Raw<T>) -> Guard<'_, T> {
        raw.lock()
    }
}

#[cfg(loom)]
mod source {
    #![expect(unsafe_code, reason = "the same promise is asked for as above")]

    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, Ordering};
    pub(crate) use loom::sync::{Mutex as Raw, MutexGuard as Guard};
    pub(crate) use loom::thread::yield_now as spin_hint;

    pub(crate) unsafe fn own(cell: &AtomicU8) -> u8 {
        cell.load(Ordering::Relaxed)
    }

    /// The dear half is an inter-processor call here, as in a kernel; the cheap half orders nothing but the interrupt that the call is.
    pub(crate) fn light_barrier() {
        super::interrupt_point();
    }

    pub(super) fn lock<T>(raw: &Raw<T>) -> Guard<'_, T> {
        raw.lock().unwrap()
    }
}

#[cfg(shuttle)]
mod source {
    #![expect(unsafe_code, reason = "the same promise is asked for as above")]

    pub(crate) use shuttle::sync::atomic::{AtomicU8, AtomicU32, Ordering};
    pub(crate) use shuttle::sync::{Mutex as Raw, MutexGuard as Guard};
    pub(crate) use shuttle::thread::yield_now as spin_hint;

    pub(crate) unsafe fn own(cell: &AtomicU8) -> u8 {
        cell.load(Ordering::Relaxed)
    }

    /// Nothing: threads here see each other's accesses in one order.
    pub(crate) fn light_barrier() {}

    pub(super) fn lock<T>(raw: &Raw<T>) -> Guard<'_, T> {
        raw.lock().unwrap()
    }
}

/// What only the models ask.
#[cfg(not(loom))]
mod witness {
    /// A place where a model lets interrupts in. Others come where they like.
    #[inline(always)]
    pub(crate) fn interrupt_point() {}

    /// Whether a model has just failed: its locks are then as they are, and stay so.
    #[inline(always)]
    pub(crate) const fn model_has_failed() -> bool {
        false
    }

    /// What only one CPU uses at a time. The models find out if that is not so.
    #[derive(Debug)]
    pub(crate) struct Exclusive;

    impl Exclusive {
        pub(crate) const fn new() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn used(&self) {}
    }
}

#[cfg(loom)]
mod witness {
    static INTERRUPT: std::sync::OnceLock<fn()> = std::sync::OnceLock::new();

    /// Says what a CPU does where an interrupt may come: look whether one is pending, and serve it.
    pub fn set_interrupt(interrupt: fn()) {
        INTERRUPT.get_or_init(|| interrupt);
    }

    /// A place between two accesses of a protocol between a CPU and the calls that interrupt it.
    pub(crate) fn interrupt_point() {
        if let Some(interrupt) = INTERRUPT.get() {
            interrupt();
        }
    }

    pub(crate) fn model_has_failed() -> bool {
        std::thread::panicking()
    }

    /// What only one CPU uses at a time, each of which sees what the one before it has done. The model fails if that is not so.
    #[derive(Debug)]
    pub(crate) struct Exclusive(loom::cell::UnsafeCell<()>);

    impl Exclusive {
        pub(crate) fn new() -> Self {
            Self(loom::cell::UnsafeCell::new(()))
        }

        pub(crate) fn used(&self) {
            self.0.with_mut(|_| ());
        }
    }
}

pub(crate) use source::{AtomicU8, AtomicU32, Guard, Ordering, light_barrier, own, spin_hint};
#[cfg(loom)]
pub use witness::set_interrupt;
pub(crate) use witness::{Exclusive, interrupt_point, model_has_failed};

// The same in every build, for what the models leave out: a field that only the holder of some lock uses, or one that no other
// thread acts on. A model is as large as its number of modelled accesses.
pub(crate) use core::sync::atomic::{
    AtomicU32 as PlainU32, AtomicU64 as PlainU64, AtomicUsize as PlainUsize,
};
#[cfg(feature = "faults")]
pub(crate) use spin::rwlock::RwLock as PlainRwLock;

/// A spin lock around what it protects.
#[derive(Debug)]
pub(crate) struct Lock<T>(source::Raw<T>);

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(source::Raw::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        source::lock(&self.0)
    }
}
