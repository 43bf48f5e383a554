//! Floor 2: locks and atomics: the one place that chooses where they come from.
//!
//! A kernel gets the locks of `spin` and the atomics of `core`. The model checkers compile the same
//! source with theirs: `cfg(loom)` and `cfg(shuttle)`. No other file names these crates.
//!
//! [`Lock`] does not mask interrupts; its callers do (see [`Platform`](crate::Platform)). It is a
//! test-and-set lock and not a ticket lock, because the virtual CPU with the next ticket may be
//! preempted.
//!
//! The `Plain` atomics are those of `core` in every build. They are for what the models leave out:
//! fields that are only used with some lock held, and counters that no code acts on. The size of a
//! model grows with the number of modelled accesses.

#[cfg_attr(loom, path = "loom.rs")]
#[cfg_attr(shuttle, path = "shuttle.rs")]
#[cfg_attr(not(any(loom, shuttle)), path = "native.rs")]
mod source;
#[cfg_attr(loom, path = "witness_loom.rs")]
#[cfg_attr(not(loom), path = "witness.rs")]
mod witness;

pub(crate) use core::sync::atomic::{
    AtomicPtr as PlainPtr, AtomicU16 as PlainU16, AtomicU32 as PlainU32, AtomicU64 as PlainU64,
    AtomicUsize as PlainUsize,
};
pub(crate) use spin::once::Once as PlainOnce;
pub(crate) use spin::rwlock::RwLock as PlainRwLock;

pub(crate) use source::{
    AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Guard, Ordering, light_barrier, load_own, spin_hint,
};
#[cfg(loom)]
pub use witness::set_interrupt;
pub(crate) use witness::{Exclusive, Written, interrupt_point, model_has_failed};

/// The value of an expression, made by the compiler: a build without optimisation then has no
/// copies of it on the stack. The locks of the models are made when the program runs.
#[cfg(not(any(loom, shuttle)))]
macro_rules! made_by_compiler {
    ($value:expr) => {
        const { $value }
    };
}
#[cfg(any(loom, shuttle))]
macro_rules! made_by_compiler {
    ($value:expr) => {
        $value
    };
}
pub(crate) use made_by_compiler;

/// A spin lock around the value that it protects.
#[derive(Debug)]
pub(crate) struct Lock<T>(source::Raw<T>);

impl<T> Lock<T> {
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) const fn new(value: T) -> Self {
        Self(source::Raw::new(value))
    }

    #[cfg(any(loom, shuttle))]
    pub(crate) fn new(value: T) -> Self {
        Self(source::Raw::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        source::lock(&self.0)
    }

    /// Takes the lock if nobody has it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        source::try_lock(&self.0)
    }
}
