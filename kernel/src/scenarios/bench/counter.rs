//! Counts guest instructions by the time stamp counter.
//!
//! Under QEMU's `-icount shift=0` the counter goes up by 1 with each instruction that the guest executes, whatever the
//! host does meanwhile. [`calibrate`] makes sure of that with loops of known length, before anything is believed. Neighbours:
//! everything in [`bench`](super) that measures.

#![expect(unsafe_code, reason = "reads the counter where the compiler cannot move it")]

use core::arch::asm;

use spin::Once;
use x86_64::instructions::interrupts::without_interrupts;

/// A number of instructions, or a mean of many, in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Instructions {
    thousandths: u64,
}

impl Instructions {
    /// A count, as it is.
    pub(super) const fn exactly(count: u64) -> Self {
        Self { thousandths: count * 1000 }
    }

    /// `total` shared by so many operations.
    pub(super) fn mean(total: u64, operations: u64) -> Self {
        Self { thousandths: (u128::from(total) * 1000 / u128::from(operations.max(1))) as u64 }
    }

    pub(super) const fn thousandths(self) -> i64 {
        self.thousandths.cast_signed()
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self { thousandths: self.thousandths + other.thousandths }
    }
}

/// A loop of known length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calibration {
    pub(super) known: u64,
    pub(super) read: Instructions,
}

impl Calibration {
    /// Within one in a hundred.
    pub(super) fn is_right(&self) -> bool {
        let known = Instructions::exactly(self.known);
        self.read.thousandths.abs_diff(known.thousandths) * 100 <= known.thousandths
    }
}

/// Measures loops whose length is known.
pub(super) fn calibrate() -> [Calibration; 2] {
    const TURNS: u64 = 100_000;
    let short = count(|| {
        // SAFETY: counts a register down.
        unsafe { asm!("2: dec {0}", "jnz 2b", inout(reg) TURNS => _, options(nomem, nostack)) };
    });
    let long = count(|| {
        // SAFETY: counts a register down, and another one up.
        unsafe {
            asm!(
                "2:", ".rept 100", "lea {1}, [{1} + 1]", ".endr", "dec {0}", "jnz 2b",
                inout(reg) TURNS => _, inout(reg) 0_u64 => _, options(nomem, nostack)
            );
        }
    });
    [(2, short), (102, long)]
        .map(|(known, total)| Calibration { known, read: Instructions::mean(total, TURNS) })
}

/// Instructions that `body` takes, with interrupts masked. What counting takes itself is not among them.
#[inline(always)]
pub(super) fn count(body: impl FnOnce()) -> u64 {
    let own = own_cost();
    without_interrupts(|| {
        let before = stamp();
        body();
        stamp() - before
    })
    .saturating_sub(own)
}

/// What [`count`] reads for nothing.
fn own_cost() -> u64 {
    static COST: Once<u64> = Once::new();
    *COST.call_once(|| {
        without_interrupts(|| {
            let before = stamp();
            stamp() - before
        })
    })
}

/// The counter. Memory accesses stay on their side of it.
#[inline(never)]
fn stamp() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: reads the counter.
    unsafe { asm!("rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags)) };
    high << 32 | low
}
