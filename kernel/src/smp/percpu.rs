//! Data of each CPU. A CPU finds its own through the GS base, which no user code can change here.

#![expect(unsafe_code, reason = "reads and writes the GS base")]

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use super::CpuId;
use super::ipi::Mailbox;
use super::stack::StackEnd;

/// How many CPUs this kernel can use: as many as there are bits in a [`Mailbox`]'s words.
pub(crate) const MAX_CPUS: usize = 64;

/// What belongs to one CPU. Shared, so that others can look.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct PerCpu {
    /// First, so that it is at GS:0.
    number: AtomicUsize,
    /// The CPU's number on the interrupt bus.
    pub(crate) apic_id: AtomicU32,
    /// Timer interrupts taken.
    pub(crate) ticks: AtomicU64,
    /// Requests to and from other CPUs.
    pub(crate) mailbox: Mailbox,
    /// Where the stack of this CPU's task ends.
    pub(super) stack_end: StackEnd,
}

static CPUS: [PerCpu; MAX_CPUS] = [const {
    PerCpu {
        number: AtomicUsize::new(0),
        apic_id: AtomicU32::new(0),
        ticks: AtomicU64::new(0),
        mailbox: Mailbox::new(),
        stack_end: StackEnd::unknown(),
    }
}; MAX_CPUS];

/// CPUs that run: those with the numbers below this.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// Makes this CPU the one with that number. Its first act.
pub(crate) fn adopt(cpu: CpuId) {
    let own = of(cpu);
    own.number.store(cpu.number(), Ordering::Relaxed);
    GsBase::write(VirtAddr::from_ptr(own));
}

/// The number of this CPU. Good until interrupts are next enabled; here for ever, as nothing moves a
/// task from one CPU to another.
#[inline(always)]
pub(crate) fn current() -> CpuId {
    let number: usize;
    // SAFETY: `adopt` pointed GS at a `PerCpu`, whose first word is the number. It never changes, so that the compiler may
    // remember it.
    unsafe { asm!("mov {}, gs:[0]", out(reg) number, options(pure, readonly, nostack, preserves_flags)) };
    CpuId::new(number)
}

/// What belongs to that CPU.
pub(crate) fn of(cpu: CpuId) -> &'static PerCpu {
    &CPUS[cpu.number()]
}

/// What belongs to this CPU.
pub(crate) fn own() -> &'static PerCpu {
    of(current())
}

/// How many CPUs run. Their numbers are dense, from 0.
pub(crate) fn cpu_count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// All CPUs that run.
pub(crate) fn all() -> impl Iterator<Item = CpuId> + Clone {
    (0..cpu_count()).map(CpuId::new as fn(usize) -> CpuId)
}

/// Counts this CPU among those that run. It must be ready to take interrupts.
pub(super) fn join() {
    // Release: whoever counts this CPU sees what it prepared.
    COUNT.fetch_add(1, Ordering::Release);
}
