//! The trait through which the allocator calls the kernel: CPU number, interrupt mask, barrier.
//!
//! Every item has a default. With the defaults the allocator is correct on any kernel whose
//! interrupt handlers do not call it; implementing an item makes it faster or allows more. With
//! [`PcpAccess::LOCKED`] nothing here is unsafe: a wrong CPU number costs speed, and an unmasked
//! interrupt handler that calls the allocator can deadlock, but no frame is ever allocated twice.
//!
//! [`PcpAccess::owner_only`] removes the lock and the interrupt mask from the fast path. It is an
//! unsafe promise about CPUs; [`pcp`](crate::pcp) has the protocol that relies on it.
//!
//! # Why owner-only access is an unsafe promise
//!
//! It would be safe if types or cheap checks could show that two calls never use the lists of one
//! CPU at a time. A token for each CPU that cannot be sent to another one does not show it: an
//! interrupt handler, or a task that preempts another one on the same CPU, can use the token of the
//! CPU that it runs on, and whether a call was migrated in between no type says. A check at run
//! time has to be atomic with respect to the second user, and that is the lock of the locked mode:
//! one compare-and-swap, which is what owner-only access saves. What types can show is that there
//! is one user in all: [`SingleThreaded`].

#![expect(
    unsafe_code,
    reason = "a promise about CPUs that only the kernel can make is an unsafe constructor"
)]

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;

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

/// The access modes.
pub(crate) enum Access<P: ?Sized> {
    Locked,
    /// With the function that returns how many CPUs there are.
    OwnerOnly(fn(&P) -> usize),
    /// Only of [`SingleThreaded`].
    SingleThreaded,
}

impl<P: ?Sized> PcpAccess<P> {
    /// With a spin lock, and interrupts masked if the platform masks them. Correct on every kernel.
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
    /// - [`current_cpu`](Platform::current_cpu) returns the CPU that executes the call, and never
    ///   the same number on two CPUs;
    /// - that number is always below what `cpus` returned at the construction of the allocator.
    ///   Construction fails with [`InitError::TooFewCpus`](crate::InitError::TooFewCpus) if the
    ///   metadata is for fewer CPUs;
    /// - a call to the allocator is neither migrated to another CPU nor preempted: code that
    ///   interrupts it returns to it before that CPU runs any other call to the allocator (true of
    ///   interrupt handlers; a preemptive kernel disables preemption for the time of a call). This
    ///   is not required while the call is in a function of the kernel that may call the allocator
    ///   itself: [`Migrate`](crate::Migrate), [`HotplugNotifier`](crate::HotplugNotifier),
    ///   [`wait_for_report`](Platform::wait_for_report), the log. These may yield, and return on
    ///   another CPU;
    /// - [`barrier_on_every_cpu`](Platform::barrier_on_every_cpu) is implemented as documented;
    /// - no two frees of one block overlap in time if one of them frees to the zone, as one in an
    ///   interrupt handler may: that double free is not detected.
    ///
    /// Other double frees are refused, except that two which overlap in time on the pcplists of two
    /// CPUs both succeed. They leave a stale entry on one of the lists, which is dropped when it is
    /// popped; until then an audit reports it as damage.
    ///
    /// Not a promise, but drains and audits wait for ever without it: a CPU that is interrupted in
    /// a call goes on with it some time. A CPU that is stopped there, by a debugger or because it
    /// goes offline, keeps its mark set.
    #[must_use]
    pub const unsafe fn owner_only(cpus: fn(&P) -> usize) -> Self {
        Self(Access::OwnerOnly(cpus))
    }

    #[inline(always)]
    pub(crate) const fn mode(&self) -> &Access<P> {
        &self.0
    }

    #[inline(always)]
    pub(crate) const fn is_locked(&self) -> bool {
        matches!(self.0, Access::Locked)
    }

    #[inline(always)]
    pub(crate) const fn is_owner_only(&self) -> bool {
        matches!(self.0, Access::OwnerOnly(_))
    }

    /// The pcplists that `platform` needs: a CPU number in owner-only mode is below this.
    pub(crate) fn cpus_needed(&self, platform: &P) -> usize {
        match self.0 {
            Access::Locked | Access::SingleThreaded => 1,
            Access::OwnerOnly(cpus) => cpus(platform),
        }
    }
}

impl<P: ?Sized> fmt::Debug for PcpAccess<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Access::Locked => "Locked",
            Access::OwnerOnly(_) => "OwnerOnly",
            Access::SingleThreaded => "SingleThreaded",
        })
    }
}

/// The platform of a kernel with one CPU and no interrupt handler that calls the allocator.
///
/// The pcplists need no lock then, and no `unsafe` promise either: this type is not `Sync`, so a
/// [`PageAllocator`](crate::PageAllocator) with it is not, and no other CPU, thread or interrupt
/// handler can have a reference to the allocator while this one uses it. It follows that such an
/// allocator cannot be in a `static`; pass it by reference.
///
/// ```
/// use pageblock::{MemoryMap, Metadata, PageAllocator, SingleThreaded, Tuning};
/// # let mut map: MemoryMap = MemoryMap::new();
/// # map.add_usable(0..64 << 20).unwrap();
/// # let layout = Metadata::layout(&map, 1).unwrap();
/// # let memory = vec![std::mem::MaybeUninit::uninit(); layout.size() + layout.align()].leak();
/// let metadata = Metadata::new(memory, &map, 1)?;
/// let allocator = PageAllocator::new(SingleThreaded::new(), &map, metadata, Tuning::default())?;
/// # Ok::<(), pageblock::InitError>(())
/// ```
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<pageblock::PageAllocator<'static, pageblock::SingleThreaded>>();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleThreaded(PhantomData<Cell<()>>);

impl SingleThreaded {
    /// The platform.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl Platform for SingleThreaded {
    const PCP_ACCESS: PcpAccess<Self> = PcpAccess(Access::SingleThreaded);
}

/// The time for which interrupts are masked: until this is dropped.
#[derive(Debug)]
pub(crate) struct Masked<'a, P: Platform> {
    platform: &'a P,
    previous: usize,
}

impl<'a, P: Platform> Masked<'a, P> {
    #[inline(always)]
    pub(crate) fn new(platform: &'a P) -> Self {
        Self { platform, previous: platform.mask_interrupts() }
    }
}

impl<P: Platform> Drop for Masked<'_, P> {
    #[inline(always)]
    fn drop(&mut self) {
        self.platform.restore_interrupts(self.previous);
    }
}

/// The services of the kernel that the allocator calls.
///
/// [CPUs and interrupts](crate::guide::cpus_and_interrupts) says what to implement when, and
/// [Testing your platform](crate::guide::testing_your_platform) how to find mistakes in it.
///
/// ```
/// /// CPUs share the pcplists of the boot CPU, and no interrupt handler allocates.
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
    /// reads (the APIC, or the base of GS) must return [`CpuId::BOOT`] until then: for instance
    /// from a flag that is set when the other CPUs are started.
    fn current_cpu(&self) -> CpuId {
        CpuId::BOOT
    }

    /// Masks interrupts on this CPU, and returns what [`restore_interrupts`] needs to restore the
    /// mask that was in force: `local_irq_save` of Linux. Calls nest.
    ///
    /// The allocator holds locks only between this call and `restore_interrupts`, so that an
    /// interrupt handler never waits for a lock that the interrupted code holds. A kernel whose
    /// interrupt handlers call the allocator, or that is preemptive, must implement both. On x86_64
    /// the result can be whether interrupts were enabled
    /// (`x86_64::instructions::interrupts::are_enabled`), or the flags register. Default: masks
    /// nothing, and costs nothing.
    ///
    /// [`restore_interrupts`]: Self::restore_interrupts
    #[inline(always)]
    fn mask_interrupts(&self) -> usize {
        0
    }

    /// Restores the interrupt mask that was in force when
    /// [`mask_interrupts`](Self::mask_interrupts) returned `previous`, on the same CPU. Calls of
    /// the two are paired like brackets. Default: does nothing.
    #[inline(always)]
    fn restore_interrupts(&self, previous: usize) {
        let _ = previous;
    }

    /// Makes every CPU that may call the allocator execute a full memory barrier before it returns.
    ///
    /// Implement it with inter-processor interrupts, or `membarrier` in a hosted program. Drains,
    /// isolations and audits call it, with no lock of the allocator held and interrupts as the
    /// caller had them. A CPU that waits in it must still serve the calls of others.
    ///
    /// Only called in [`PcpAccess::owner_only`] mode. Default: does nothing.
    fn barrier_on_every_cpu(&self) {}

    /// Waits until the host may have acknowledged a block that it is being told of, and the block
    /// has been returned ([`ReportBatch::acknowledged`](crate::ReportBatch::acknowledged)). Returns
    /// false if nothing is to be waited for, or if it cannot wait here.
    ///
    /// Called before a request fails that is not [`Depth::Atomic`](crate::Depth::Atomic), and
    /// before a range is given up, while the host has not acknowledged a block: the call is tried
    /// again if this returns true, at most 4 times for a request and 16 times for a range. No lock
    /// of the allocator is held, and interrupts are as the caller had them. It may yield to other
    /// tasks, and may call the allocator: the queue of the device can be looked at here, and a
    /// batch be returned. It must return, although the host may never answer.
    ///
    /// Default: false.
    fn wait_for_report(&self) -> bool {
        false
    }
}
