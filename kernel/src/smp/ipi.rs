//! Runs a function on all other CPUs, in an interrupt handler, and waits until all have run it.
//!
//! This is `smp_call_function` of Linux. Every CPU has a [`Mailbox`] with the request that it
//! makes, the set of CPUs that have not served that request yet, and the set of CPUs whose requests
//! it has to serve. Requests of several CPUs may cross, because a CPU that waits serves the others.
//!
//! An emulated machine may have fewer host CPUs than guest CPUs. A guest CPU that waits by spinning
//! then keeps the CPU that it waits for from running, for a scheduling period of the host for each
//! request. So a waiting CPU halts after a while, and the last CPU to serve its request wakes it.
//!
//! Deadlock rule: the caller holds no lock that is ever taken with interrupts masked, and the
//! function neither holds such a lock for long nor makes requests itself.

use core::hint;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pageblock::CpuId;
use x86_64::instructions::interrupts::{self, without_interrupts};

use crate::arch::apic;
use crate::arch::percpu::{self, MAX_CPUS, current};
use crate::arch::trap::{self, Vector};
use crate::sync::Hook;
use crate::time;

/// A function for other CPUs, with two arguments.
type Function = fn(u64, u64);

/// The requests that one CPU makes and has to serve. In the sets each bit is a CPU.
#[derive(Debug)]
struct Mailbox {
    function: Hook<Function>,
    first: AtomicU64,
    second: AtomicU64,
    /// The CPUs that have not served this CPU's request yet.
    unserved: AtomicU64,
    /// The CPUs whose requests this CPU has to serve.
    callers: AtomicU64,
    /// Whether this CPU is halted and has to be woken when `unserved` becomes empty.
    asleep: AtomicBool,
}

impl Mailbox {
    const fn new() -> Self {
        Self {
            function: Hook::empty(),
            first: AtomicU64::new(0),
            second: AtomicU64::new(0),
            unserved: AtomicU64::new(0),
            callers: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
        }
    }

    fn of(cpu: CpuId) -> &'static Self {
        static MAILBOXES: [Mailbox; MAX_CPUS] = [const { Mailbox::new() }; MAX_CPUS];
        &MAILBOXES[cpu.number()]
    }
}

/// A CPU that has not answered for this long is considered dead.
const TIMEOUT_US: u64 = 30_000_000;
/// How long a CPU spins before it halts.
const SPIN_US: u64 = 50;

/// Handles interprocessor interrupts, on all CPUs, from now on.
pub(crate) fn init() {
    trap::register(Vector::Ipi, || {
        apic::end_of_interrupt();
        serve();
    });
}

/// Runs `function(first, second)` on every other CPU, and returns when all have run it.
///
/// The function sees what this CPU wrote before, and this CPU then sees what it wrote.
pub(crate) fn call_others(function: Function, first: u64, second: u64) {
    if percpu::cpu_count() == 1 {
        return;
    }
    let may_halt = interrupts::are_enabled();
    without_interrupts(|| {
        let me = current();
        let others = percpu::all().filter(|&cpu| cpu != me);
        let mailbox = Mailbox::of(me);

        mailbox.function.replace(Some(function));
        mailbox.first.store(first, Ordering::Relaxed);
        mailbox.second.store(second, Ordering::Relaxed);
        let everyone = others.clone().fold(0, |set, cpu| set | bit(cpu));
        mailbox.unserved.store(everyone, Ordering::Relaxed);
        for other in others {
            // Release: pairs with the Acquire in `serve`, which then reads the request.
            Mailbox::of(other).callers.fetch_or(bit(me), Ordering::Release);
            wake(other);
        }
        wait(mailbox, may_halt);
    });
}

/// Waits until all other CPUs have served the request in `mailbox`, with interrupts masked.
fn wait(mailbox: &Mailbox, may_halt: bool) {
    let start = time::now_us();
    loop {
        // Acquire: pairs with the Release in `serve`.
        let unserved = mailbox.unserved.load(Ordering::Acquire);
        if unserved == 0 {
            return;
        }
        serve();
        let waited = time::now_us() - start;
        if may_halt && waited > SPIN_US {
            halt(mailbox);
        } else {
            hint::spin_loop();
        }
        assert!(waited < TIMEOUT_US, "these CPUs do not answer an interrupt: {unserved:#b}");
    }
}

/// Halts until an interrupt: a request of another CPU, a tick, or the wake-up by the last server.
fn halt(mailbox: &Mailbox) {
    // Both sides store before they load, in the single order of SeqCst. So either this CPU sees
    // that no CPU is left, or the last server sees in `serve` that this CPU is asleep.
    mailbox.asleep.store(true, Ordering::SeqCst);
    if mailbox.unserved.load(Ordering::SeqCst) != 0 {
        // Interrupts stay masked until the `hlt`, so one that arrives from here on ends it.
        interrupts::enable_and_hlt();
        interrupts::disable();
    }
    mailbox.asleep.store(false, Ordering::Relaxed);
}

/// Serves the requests that other CPUs have made of this one. Interrupts are masked.
pub(crate) fn serve() {
    let me = current();
    // Acquire: pairs with the Release in `call_others`.
    let mut callers = Mailbox::of(me).callers.swap(0, Ordering::Acquire);
    while callers != 0 {
        let caller = CpuId::new(callers.trailing_zeros() as usize);
        callers &= callers - 1;
        let mailbox = Mailbox::of(caller);
        if let Some(function) = mailbox.function.get() {
            function(mailbox.first.load(Ordering::Relaxed), mailbox.second.load(Ordering::Relaxed));
        }
        // Release: pairs with the Acquire in `wait`. The caller may then make another request.
        let unserved = mailbox.unserved.fetch_and(!bit(me), Ordering::SeqCst);
        if unserved == bit(me) && mailbox.asleep.load(Ordering::SeqCst) {
            wake(caller);
        }
    }
}

/// Interrupts `cpu`, so that it serves requests and leaves a halt.
pub(crate) fn wake(cpu: CpuId) {
    apic::send(percpu::of(cpu).apic_id.load(Ordering::Relaxed), Vector::Ipi);
}

fn bit(cpu: CpuId) -> u64 {
    1 << cpu.number()
}
