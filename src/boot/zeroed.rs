//! Typed arrays in raw memory.

#![expect(unsafe_code, reason = "raw memory becomes typed arrays")]

use core::mem::MaybeUninit;
use core::slice;

#[cfg(any(loom, shuttle))]
use crate::records::StateCell;
use crate::records::{PageblockSummary, SiteCell, WordCell};
use crate::sync::PlainU32;

/// Makes an array of `count` values in raw memory. Panics if it is not aligned or too small.
pub(super) fn fill<T>(
    memory: &mut [MaybeUninit<u8>],
    count: usize,
    mut value: impl FnMut(usize) -> T,
) -> &mut [T] {
    let start: *mut T = array_start(memory, count);
    for index in 0..count {
        // SAFETY: `index < count`, and `array_start` checked that `count` values fit.
        let place = unsafe { start.add(index) };
        // SAFETY: `place` is aligned and within `memory`, which is borrowed mutably.
        unsafe { place.write(value(index)) };
    }
    // SAFETY: `count` values were written there, and the result keeps the borrow of `memory`.
    unsafe { slice::from_raw_parts_mut(start, count) }
}

/// Types whose arrays can be made of zeroed memory.
///
/// # Safety
///
/// [`Zeroable::ZERO_BYTES`] must be false unless all-zero bytes are the value [`Zeroable::zero`].
pub(super) unsafe trait Zeroable {
    const ZERO_BYTES: bool;
    fn zero() -> Self;
}

// SAFETY: `ZERO_BYTES` is false: the atomics of the models are more than their integers.
#[cfg(any(loom, shuttle))]
unsafe impl Zeroable for StateCell {
    const ZERO_BYTES: bool = false;
    fn zero() -> Self {
        Self::new(0)
    }
}

// SAFETY: an atomic of `core` has the representation of its integer. (`StateCell` is this type.)
unsafe impl Zeroable for PlainU32 {
    const ZERO_BYTES: bool = true;
    fn zero() -> Self {
        Self::new(0)
    }
}

// SAFETY: as above.
unsafe impl Zeroable for WordCell {
    const ZERO_BYTES: bool = true;
    fn zero() -> Self {
        Self::new(0)
    }
}

// SAFETY: it consists of such atomics, and `new` sets all of them to zero.
unsafe impl Zeroable for PageblockSummary {
    const ZERO_BYTES: bool = true;
    fn zero() -> Self {
        Self::new()
    }
}

// SAFETY: it is a pointer, whose all-zero value is null, as of `new`; or it is zero-sized.
unsafe impl Zeroable for SiteCell {
    const ZERO_BYTES: bool = true;
    fn zero() -> Self {
        Self::new()
    }
}

/// Makes an array of the `count` values that are in memory. Panics if it is not aligned or too
/// small.
///
/// # Safety
///
/// The memory must be zeroed; if `T` is an integer, initialised.
pub(super) unsafe fn existing<T: Zeroable>(memory: &mut [MaybeUninit<u8>], count: usize) -> &mut [T] {
    if !T::ZERO_BYTES {
        return fill(memory, count, |_| T::zero());
    }
    let start = array_start(memory, count);
    // SAFETY: `count` values of `T` are within `memory`, aligned; they are zero, or any
    // integer, which is a value of `T`; and the result keeps the borrow of `memory`.
    unsafe { slice::from_raw_parts_mut(start, count) }
}

/// The start of an array of `count` values in this memory, which must be aligned and large enough.
fn array_start<T>(memory: &mut [MaybeUninit<u8>], count: usize) -> *mut T {
    let start = memory.as_mut_ptr().cast::<T>();
    assert!(
        start.is_aligned() && count.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= memory.len())
    );
    start
}
