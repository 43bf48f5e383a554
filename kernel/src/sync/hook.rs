//! A cell for a function pointer that a higher part of the kernel registers with a lower one.

#![expect(unsafe_code, reason = "stores a function pointer in an atomic")]

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Holds a function pointer or none. Reading takes no lock, so interrupt handlers may read it.
pub(crate) struct Hook<F> {
    function: AtomicPtr<()>,
    kind: PhantomData<fn() -> F>,
}

impl<F> fmt::Debug for Hook<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.function).finish()
    }
}

impl<F: Copy> Hook<F> {
    /// A hook without a function.
    pub(crate) const fn empty() -> Self {
        const { assert!(size_of::<F>() == size_of::<*mut ()>(), "F must be a function pointer") };
        Self { function: AtomicPtr::new(ptr::null_mut()), kind: PhantomData }
    }

    /// Stores `function` and returns the previous one.
    pub(crate) fn replace(&self, function: Option<F>) -> Option<F> {
        // SAFETY: `Option` of a function pointer is null for `None` and of the same size.
        let new = unsafe { mem::transmute_copy::<Option<F>, *mut ()>(&function) };
        from_pointer(self.function.swap(new, Ordering::AcqRel))
    }

    /// The function, if one is stored.
    pub(crate) fn get(&self) -> Option<F> {
        from_pointer(self.function.load(Ordering::Acquire))
    }
}

fn from_pointer<F: Copy>(pointer: *mut ()) -> Option<F> {
    // SAFETY: only `replace` stores pointers, and it makes them from this type.
    unsafe { mem::transmute_copy(&pointer) }
}
