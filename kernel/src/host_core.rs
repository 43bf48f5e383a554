//! The C functions that the host's precompiled `core` calls, which a kernel has to define.
//!
//! They are needed for the host's target only: for `x86_64-unknown-none` the compiler brings its
//! own, and this file is left out. Most are string instructions, because the compiler may turn a
//! loop into a call of the very function that contains the loop.

#![expect(unsafe_code, reason = "C's memory functions, by their C names")]

use core::arch::asm;
use core::ffi::{c_char, c_int, c_void};

/// C's `memcpy`: `bytes` readable at `from`, writable at `to`, not overlapping.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void {
    // SAFETY: by the contract; the direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, {tail:e}",
            "rep movsb",
            tail = in(reg) bytes & 7,
            inout("rcx") bytes >> 3 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// C's `memmove`: `bytes` readable at `from` and writable at `to`.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void {
    if to.addr().wrapping_sub(from.addr()) >= bytes {
        // Forwards, nothing is overwritten before it was read.
        // SAFETY: by the contract; `memcpy` goes forwards.
        return unsafe { memcpy(to, from, bytes) };
    }
    // SAFETY: by the contract; backwards from the last byte, and the direction flag is put back.
    unsafe {
        asm!(
            "std",
            "rep movsb",
            "cld",
            inout("rcx") bytes => _,
            inout("rdi") to.wrapping_byte_add(bytes).wrapping_byte_sub(1) => _,
            inout("rsi") from.wrapping_byte_add(bytes).wrapping_byte_sub(1) => _,
            options(nostack),
        );
    }
    to
}

/// C's `memset`: `bytes` writable at `to`.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
unsafe extern "C" fn memset(to: *mut c_void, value: c_int, bytes: usize) -> *mut c_void {
    let pattern = u64::from(value as u8) * 0x0101_0101_0101_0101;
    // SAFETY: by the contract; the direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep stosq",
            "mov ecx, {tail:e}",
            "rep stosb",
            tail = in(reg) bytes & 7,
            inout("rcx") bytes >> 3 => _,
            inout("rdi") to => _,
            in("rax") pattern,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// C's `memcmp`: `bytes` readable at both.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
unsafe extern "C" fn memcmp(left: *const c_void, right: *const c_void, bytes: usize) -> c_int {
    for index in 0..bytes {
        // SAFETY: by the contract.
        let l = unsafe { left.cast::<u8>().wrapping_add(index).read() };
        // SAFETY: by the contract.
        let r = unsafe { right.cast::<u8>().wrapping_add(index).read() };
        if l != r {
            return c_int::from(l) - c_int::from(r);
        }
    }
    0
}

/// C's `bcmp`: `bytes` readable at both.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
unsafe extern "C" fn bcmp(left: *const c_void, right: *const c_void, bytes: usize) -> c_int {
    // SAFETY: the same contract.
    unsafe { memcmp(left, right, bytes) }
}

/// C's `strlen`: a NUL ends the string.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let left: usize;
    // SAFETY: by the contract; the direction flag is clear by the ABI.
    unsafe {
        asm!(
            "repne scasb",
            inout("rcx") usize::MAX => left,
            inout("rdi") text => _,
            in("al") 0_u8,
            options(nostack, readonly),
        );
    }
    // The counter fell by one for every character and for the NUL.
    usize::MAX - left - 1
}

/// Referred to by `core`'s landing pads, which `panic = "abort"` never runs.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
extern "C" fn rust_eh_personality() {}

/// Referred to by `core`'s landing pads, which `panic = "abort"` never runs.
#[cfg_attr(feature = "image", unsafe(export_name = "_Unwind_Resume"))]
extern "C" fn unwind_resume() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
