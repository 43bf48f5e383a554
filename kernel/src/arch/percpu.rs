//! Data of each CPU. A CPU finds its own through the GS base, which no user code can change here.

#![expect(unsafe_code, reason = "reads and writes the GS base")]

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pageblock::CpuId;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

/// The most CPUs that this kernel can use: sets of CPUs are 64-bit words.
pub(crate) const MAX_CPUS: usize = 64;

/// The data of one CPU. All CPUs may read it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct PerCpu {
    /// The first field, so that it is at GS:0.
    number: AtomicUsize,
    /// The id of the CPU's local APIC.
    pub(crate) apic_id: AtomicU32,
    /// Timer interrupts taken.
    pub(crate) ticks: AtomicU64,
}

static CPUS: [PerCpu; MAX_CPUS] =
    [const { PerCpu { number: AtomicUsize::new(0), apic_id: AtomicU32::new(0), ticks: AtomicU64::new(0) } };
        MAX_CPUS];

/// The number of CPUs that are online. Their numbers are below this.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// Points the GS base of this CPU to the data of `cpu`. This must be the CPU's first call.
pub(crate) fn init_this_cpu(cpu: CpuId) {
    let own = of(cpu);
    own.number.store(cpu.number(), Ordering::Relaxed);
    GsBase::write(VirtAddr::from_ptr(own));
}

/// The number of this CPU. In this kernel it stays valid, because no task is ever moved to another
/// CPU; in general it is valid until interrupts are next enabled.
#[inline(always)]
pub(crate) fn current() -> CpuId {
    let number: usize;
    // SAFETY: `init_this_cpu` pointed GS to a `PerCpu`, whose first word is the number. It never
    // changes, so the compiler may reuse an earlier result.
    unsafe { asm!("mov {}, gs:[0]", out(reg) number, options(pure, readonly, nostack, preserves_flags)) };
    CpuId::new(number)
}

/// The data of `cpu`.
pub(crate) fn of(cpu: CpuId) -> &'static PerCpu {
    &CPUS[cpu.number()]
}

/// The data of this CPU.
pub(crate) fn own() -> &'static PerCpu {
    of(current())
}

/// The number of CPUs that are online. Their numbers are dense, from 0.
pub(crate) fn cpu_count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// All CPUs that are online.
pub(crate) fn all() -> impl Iterator<Item = CpuId> + Clone {
    (0..cpu_count()).map(CpuId::new as fn(usize) -> CpuId)
}

/// Counts this CPU as online. It must be ready to take interrupts.
pub(crate) fn set_online() {
    // Release: a CPU that reads the new count sees what this CPU has set up.
    COUNT.fetch_add(1, Ordering::Release);
}
