//! Counts guest instructions with the time stamp counter.
//!
//! With QEMU's `-icount shift=0` the counter increases by 1 with each instruction that the guest
//! executes, whatever the host does meanwhile. [`calibrate`] checks this.

#![expect(unsafe_code, reason = "reads the counter where the compiler cannot move it")]

use core::arch::asm;

use spin::Once;
use x86_64::instructions::interrupts::without_interrupts;

/// A number of instructions, or a mean, in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Instructions {
    thousandths: u64,
}

impl Instructions {
    /// A single count.
    pub(super) const fn exactly(count: u64) -> Self {
        Self { thousandths: count * 1000 }
    }

    /// `total` divided by the number of operations.
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

/// The measurement of a loop of known length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calibration {
    /// The known number of instructions of an iteration.
    pub(super) known: u64,
    /// The measured number.
    pub(super) read: Instructions,
}

impl Calibration {
    /// Whether the measured number is within 1 % of the known one.
    pub(super) fn is_right(&self) -> bool {
        let known = Instructions::exactly(self.known);
        self.read.thousandths.abs_diff(known.thousandths) * 100 <= known.thousandths
    }
}

/// Measures two loops of known length.
pub(super) fn calibrate() -> [Calibration; 2] {
    const TURNS: u64 = 100_000;
    let short = count(|| {
        // SAFETY: decrements a register only.
        unsafe { asm!("2: dec {0}", "jnz 2b", inout(reg) TURNS => _, options(nomem, nostack)) };
    });
    let long = count(|| {
        // SAFETY: changes two registers only.
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

/// The instructions of `body`, with interrupts masked, without those of the measurement itself.
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

/// The instructions of an empty measurement.
fn own_cost() -> u64 {
    static COST: Once<u64> = Once::new();
    *COST.call_once(|| {
        without_interrupts(|| {
            let before = stamp();
            stamp() - before
        })
    })
}

/// Reads the counter. The compiler moves no memory access across it.
#[inline(never)]
fn stamp() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: only reads the counter.
    unsafe { asm!("rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags)) };
    high << 32 | low
}
