//! The periodic timer interrupt of every CPU.

use core::sync::atomic::Ordering;

use crate::arch::trap::{self, Vector};
use crate::arch::{apic, percpu, stack};
use crate::sync::Hook;
use crate::time::TICK_HZ;

static HOOK: Hook<fn()> = Hook::empty();

/// Starts the timer interrupt on this CPU.
pub(crate) fn start_on_this_cpu() {
    trap::register(Vector::Timer, on_tick);
    apic::start_timer(TICK_HZ);
}

/// Has every timer interrupt call `hook`, with interrupts masked. Returns the previous hook.
pub(crate) fn set_hook(hook: Option<fn()>) -> Option<fn()> {
    HOOK.replace(hook)
}

fn on_tick() {
    apic::end_of_interrupt();
    percpu::own().ticks.fetch_add(1, Ordering::Relaxed);
    stack::check();
    if let Some(hook) = HOOK.get() {
        hook();
    }
}
