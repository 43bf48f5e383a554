//! Time: the TSC, measured once, and the timer interrupt of every CPU.

#![expect(unsafe_code, reason = "reads the TSC")]

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::Ordering;

use spin::Once;
use x86_64::instructions::{hlt, interrupts};

use crate::arch::hook::Hook;
use crate::arch::pit;
use crate::smp::{percpu, stack};

/// Timer interrupts per second, on every CPU.
pub(crate) const TICK_HZ: u32 = 250;

#[derive(Clone, Copy, Debug)]
struct Clock {
    start: u64,
    hz: u64,
}

static CLOCK: Once<Clock> = Once::new();
static TICK_HOOK: Hook<fn()> = Hook::empty();

/// Measures the TSC, and starts to count time.
pub(crate) fn init() {
    CLOCK.call_once(|| {
        let start = tsc();
        Clock { start, hz: pit::measure_tsc_hz(tsc).max(1) }
    });
}

/// Cycles, as this CPU counts them.
pub(crate) fn tsc() -> u64 {
    // SAFETY: every CPU with long mode has the instruction, and nothing here forbids it.
    unsafe { _rdtsc() }
}

/// Cycles per second.
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

/// Waits for so long: halted where ticks are sure to come in time, else by spinning.
pub(crate) fn wait_us(us: u64) {
    const TWO_TICKS_US: u64 = 2 * 1_000_000 / TICK_HZ as u64;
    let end = now_us() + us;
    loop {
        let left = end.saturating_sub(now_us());
        if left == 0 {
            return;
        }
        // Without a `pause`: an emulator that counts instructions takes each for the end of the CPU's turn.
        if left > TWO_TICKS_US && interrupts::are_enabled() {
            hlt();
        }
    }
}

/// Has `hook` called by the timer interrupt of every CPU, with interrupts masked, and returns the one
/// before.
pub(crate) fn set_tick_hook(hook: Option<fn()>) -> Option<fn()> {
    TICK_HOOK.replace(hook)
}

/// The timer interrupt.
pub(crate) fn tick() {
    percpu::own().ticks.fetch_add(1, Ordering::Relaxed);
    stack::check();
    if let Some(hook) = TICK_HOOK.get() {
        hook();
    }
}
