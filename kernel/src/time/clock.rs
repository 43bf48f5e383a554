//! The clock of all CPUs: the time stamp counter (TSC), in microseconds since boot.

#![expect(unsafe_code, reason = "reads the TSC")]

use core::arch::x86_64::_rdtsc;

use spin::Once;
use x86_64::instructions::{hlt, interrupts};

use crate::time::pit;

/// Timer interrupts per second, on every CPU.
pub(crate) const TICK_HZ: u32 = 250;

#[derive(Clone, Copy, Debug)]
struct Clock {
    start: u64,
    hz: u64,
}

static CLOCK: Once<Clock> = Once::new();

/// Measures the frequency of the TSC and starts the clock at 0.
pub(crate) fn init() {
    CLOCK.call_once(|| {
        let start = tsc();
        Clock { start, hz: pit::measure_tsc_hz(tsc).max(1) }
    });
}

/// The TSC of this CPU.
pub(crate) fn tsc() -> u64 {
    // SAFETY: every CPU with long mode has the instruction, and CR4.TSD is clear.
    unsafe { _rdtsc() }
}

/// TSC cycles per second.
pub(crate) fn tsc_hz() -> u64 {
    CLOCK.get().map_or(1, |clock| clock.hz)
}

/// Microseconds since [`init`]; 0 before.
pub(crate) fn now_us() -> u64 {
    CLOCK.get().map_or(0, |clock| {
        let cycles = tsc().saturating_sub(clock.start);
        (u128::from(cycles) * 1_000_000 / u128::from(clock.hz)) as u64
    })
}

/// Waits for `us` microseconds. Halts while a tick is sure to come in time, and spins otherwise.
pub(crate) fn wait_us(us: u64) {
    const TWO_TICKS_US: u64 = 2 * 1_000_000 / TICK_HZ as u64;
    let end = now_us() + us;
    loop {
        let left = end.saturating_sub(now_us());
        if left == 0 {
            return;
        }
        // Without `pause`: an emulator that counts instructions ends the CPU's time slice at each.
        if left > TWO_TICKS_US && interrupts::are_enabled() {
            hlt();
        }
    }
}
