//! The trait through which the allocator calls the kernel: CPU number, interrupt mask, barrier.
//!
//! Every item has a default. With the defaults the allocator is correct on any kernel whose
//! interrupt handlers do not call it; implementing an item makes it faster or allows more. With
//! [`PcpAccess::LOCKED`] nothing here is unsafe: a wrong CPU number costs speed, and an unmasked
//! interrupt handler that calls the allocator can deadlock, but no frame is ever allocated twice.
//!
//! [`PcpAccess::owner_only`] removes the lock and the interrupt mask from the fast path. It is an
//! unsafe promise about CPUs; [`pcp`](crate::pcp) has the protocol that relies on it.

#![expect(
    unsafe_code,
    reason = "a promise about CPUs that only the kernel can make is an unsafe constructor"
)]

use core::fmt;

/// A CPU number: 0 for the boot CPU, and without gaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CpuId(usize);

impl CpuId {
    /// The boot CPU.
    pub const BOOT: Self = Self(0);

    /// The CPU with this number.
    #[must_use]
    pub const fn new(number: usize) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU {}", self.0)
    }
}

/// How the CPUs of platform `P` access their own pcplists: the type of [`Platform::PCP_ACCESS`].
///
/// The platform is part of the type, so that the promise of one platform cannot be used by another.
pub struct PcpAccess<P: ?Sized>(Access<P>);

enum Access<P: ?Sized> {
    Locked,
    /// With the function that returns how many CPUs there are.
    OwnerOnly(fn(&P) -> usize),
}

impl<P: ?Sized> PcpAccess<P> {
    /// With a spin lock, and interrupts masked. Correct on every kernel.
    pub const LOCKED: Self = Self(Access::Locked);

    /// With plain loads and stores: no lock, no atomic read-modify-write, interrupts not masked.
    ///
    /// A CPU sets a mark while it uses its lists. An interrupt handler that finds the mark set uses
    /// the zone instead. A drain revokes the access of all CPUs, calls
    /// [`Platform::barrier_on_every_cpu`], and waits until no CPU has its mark set.
    ///
    /// # Safety
    ///
    /// A [`Platform`] implementation that uses this promises that
    ///
    /// - [`current_cpu`](Platform::current_cpu) returns the CPU that executes the call, and never the
    ///   same number on two CPUs;
    /// - that number is always below what `cpus` returned at the construction of the allocator.
    ///   Construction fails with [`InitError::TooFewCpus`](crate::InitError::TooFewCpus) if the
    ///   metadata is for fewer CPUs;
    /// - a call to the allocator is neither migrated to another CPU nor preempted: code that
    ///   interrupts it returns to it before that CPU runs any other call to the allocator (true of
    ///   interrupt handlers; a preemptive kernel disables preemption for the time of a call);
    /// - [`barrier_on_every_cpu`](Platform::barrier_on_every_cpu) is implemented as documented;
    /// - no two frees of one block overlap in time if one of them frees to the zone, as one in an
    ///   interrupt handler may: that double free is not detected.
    ///
    /// Other double frees are refused, except that two which overlap in time on the pcplists of two
    /// CPUs both succeed. They leave a stale entry on one of the lists, which is dropped when it is
    /// popped; until then an audit reports it as damage.
    #[must_use]
    pub const unsafe fn owner_only(cpus: fn(&P) -> usize) -> Self {
        Self(Access::OwnerOnly(cpus))
    }

    #[inline(always)]
    pub(crate) const fn is_owner_only(&self) -> bool {
        matches!(self.0, Access::OwnerOnly(_))
    }

    /// The pcplists that `platform` needs: a CPU number in owner-only mode is below this.
    pub(crate) fn cpus_needed(&self, platform: &P) -> usize {
        match self.0 {
            Access::Locked => 1,
            Access::OwnerOnly(cpus) => cpus(platform),
        }
    }
}

impl<P: ?Sized> fmt::Debug for PcpAccess<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_owner_only() { "OwnerOnly" } else { "Locked" })
    }
}

/// The services of the kernel that the allocator calls.
///
/// ```
/// /// One CPU, and no interrupt handler that allocates.
/// struct Bare;
/// impl pageblock::Platform for Bare {}
/// ```
pub trait Platform {
    /// How a CPU accesses its own pcplists. Default: [`PcpAccess::LOCKED`].
    const PCP_ACCESS: PcpAccess<Self> = PcpAccess::LOCKED;

    /// The number of the CPU that executes the call. Default: the boot CPU.
    ///
    /// In locked mode it only chooses which pcplists are used, so that a number that is out of date
    /// costs speed only, and a number beyond the CPU count given at construction wraps around. With
    /// the default all CPUs share the pcplists of the boot CPU.
    ///
    /// It is first called by the first call that allocates or frees. The construction of the
    /// allocator never calls it, nor do counts, reports, drains, isolations, reserving and adding
    /// memory, and the making of CMA areas. A kernel that allocates before it has set up what this
    /// reads (the APIC, or the base of GS) must return [`CpuId::BOOT`] until then: for instance from
    /// a flag that is set when the other CPUs are started.
    fn current_cpu(&self) -> CpuId {
        CpuId::BOOT
    }

    /// Runs `f` with interrupts masked on this CPU, then restores the previous mask. Calls nest.
    ///
    /// The allocator holds locks only inside `f`, so that an interrupt handler never waits for a
    /// lock that the interrupted code holds. A kernel whose interrupt handlers call the allocator
    /// must implement it (`x86_64::instructions::interrupts::without_interrupts` does this).
    /// Default: calls `f` with interrupts as they are.
    fn without_interrupts<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    /// Makes every CPU that may call the allocator execute a full memory barrier before it returns.
    ///
    /// Implement it with inter-processor interrupts, or `membarrier` in a hosted program. Drains,
    /// isolations and audits call it, with no lock of the allocator held and interrupts as the
    /// caller had them. A CPU that waits in it must still serve the calls of others.
    ///
    /// Only called in [`PcpAccess::owner_only`] mode. Default: does nothing.
    fn barrier_on_every_cpu(&self) {}
}
