//! Has other CPUs run a function in an interrupt handler, and waits until all of them did.
//!
//! Every CPU has a [`Mailbox`]: the request that it makes, who has not served that yet, and who wants
//! something of it. Requests of several CPUs cross freely, because a CPU that waits serves the others.
//!
//! On an emulated machine there may be fewer host CPUs than guest CPUs, and one that waits by spinning
//! then keeps the very CPU from running that it waits for: a scheduling period of the host for each
//! request. So after a short while a waiting CPU sleeps, and who serves its request last wakes it.
//!
//! Deadlock rule: the caller holds no lock that anyone takes with interrupts masked, and the function
//! neither takes such a lock for long nor makes requests itself.

use core::hint;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use x86_64::instructions::interrupts::{self, without_interrupts};

use super::CpuId;
use super::percpu::{self, current};
use crate::arch::apic;
use crate::arch::hook::Hook;
use crate::arch::trap::Vector;
use crate::time;

/// A function for other CPUs, and its two arguments.
type Function = fn(u64, u64);

/// One CPU's side of requests. In the words each bit is a CPU.
#[derive(Debug)]
pub(crate) struct Mailbox {
    function: Hook<Function>,
    first: AtomicU64,
    second: AtomicU64,
    /// Who has not yet served this CPU's request.
    unserved: AtomicU64,
    /// Who wants this CPU to serve a request.
    callers: AtomicU64,
    /// Whether this CPU wants to be woken when nobody is left.
    asleep: AtomicBool,
}

impl Mailbox {
    pub(super) const fn new() -> Self {
        Self {
            function: Hook::empty(),
            first: AtomicU64::new(0),
            second: AtomicU64::new(0),
            unserved: AtomicU64::new(0),
            callers: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
        }
    }
}

/// After this long without an answer a CPU is taken for dead.
const PATIENCE_US: u64 = 30_000_000;
/// How long to wait awake.
const AWAKE_US: u64 = 50;

/// Has every other CPU run `function(first, second)` in an interrupt handler, and returns when all did.
///
/// What this CPU wrote before is visible to the function, and the other way round afterwards.
pub(crate) fn call_others(function: Function, first: u64, second: u64) {
    if percpu::cpu_count() == 1 {
        return;
    }
    let may_sleep = interrupts::are_enabled();
    without_interrupts(|| {
        let me = current();
        let others = percpu::all().filter(|&cpu| cpu != me);
        let mailbox = &percpu::own().mailbox;

        mailbox.function.replace(Some(function));
        mailbox.first.store(first, Ordering::Relaxed);
        mailbox.second.store(second, Ordering::Relaxed);
        let everyone = others.clone().fold(0, |set, cpu| set | bit(cpu));
        mailbox.unserved.store(everyone, Ordering::Relaxed);
        for other in others {
            // Release: pairs with the Acquire in `serve`, which then reads the request.
            percpu::of(other).mailbox.callers.fetch_or(bit(me), Ordering::Release);
            wake(other);
        }
        wait(mailbox, may_sleep);
    });
}

/// Waits until nobody is left who has not served the request in `mailbox`, this CPU's. Interrupts are
/// masked, and are so again afterwards.
fn wait(mailbox: &Mailbox, may_sleep: bool) {
    let start = time::now_us();
    loop {
        // Acquire: pairs with the Release in `serve`.
        let unserved = mailbox.unserved.load(Ordering::Acquire);
        if unserved == 0 {
            return;
        }
        serve();
        let waited = time::now_us() - start;
        if may_sleep && waited > AWAKE_US {
            sleep(mailbox);
        } else {
            hint::spin_loop();
        }
        assert!(waited < PATIENCE_US, "these CPUs do not answer an interrupt: {unserved:#b}");
    }
}

/// Sleeps until an interrupt: another CPU's request, a tick, or the word that all have served ours.
fn sleep(mailbox: &Mailbox) {
    // Either this CPU sees here that nobody is left, or who serves last sees in `serve` that it sleeps:
    // both store before they load, in the one order of SeqCst.
    mailbox.asleep.store(true, Ordering::SeqCst);
    if mailbox.unserved.load(Ordering::SeqCst) != 0 {
        // One instruction as far as interrupts go: what comes from here on ends the sleep.
        interrupts::enable_and_hlt();
        interrupts::disable();
    }
    mailbox.asleep.store(false, Ordering::Relaxed);
}

/// Serves what other CPUs want of this one. Interrupts are masked.
pub(crate) fn serve() {
    let me = current();
    // Acquire: pairs with the Release in `call_others`.
    let mut callers = percpu::own().mailbox.callers.swap(0, Ordering::Acquire);
    while callers != 0 {
        let caller = CpuId::new(callers.trailing_zeros() as usize);
        callers &= callers - 1;
        let mailbox = &percpu::of(caller).mailbox;
        if let Some(function) = mailbox.function.get() {
            function(mailbox.first.load(Ordering::Relaxed), mailbox.second.load(Ordering::Relaxed));
        }
        // Release: pairs with the Acquire in `wait`. From here on the caller may make another request.
        let unserved = mailbox.unserved.fetch_and(!bit(me), Ordering::SeqCst);
        if unserved == bit(me) && mailbox.asleep.load(Ordering::SeqCst) {
            wake(caller);
        }
    }
}

/// Interrupts that CPU: it looks for requests, and does not go on sleeping.
pub(crate) fn wake(cpu: CpuId) {
    apic::send(percpu::of(cpu).apic_id.load(Ordering::Relaxed), Vector::Request);
}

fn bit(cpu: CpuId) -> u64 {
    1 << cpu.number()
}
