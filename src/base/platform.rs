//! The one upward call: what the allocator asks of the kernel that it lives in.
//!
//! Every item has a default that stays correct, only slower: a kernel with one CPU and no interrupts
//! plugs in a unit struct. With the defaults nothing here is unsafe: a wrong answer costs speed or (if interrupts are
//! not masked although handlers allocate) ends in a deadlock, never in a frame handed out twice.
//!
//! A kernel that can make all its CPUs execute a memory barrier may promise so, with
//! [`PcpAccess::owner_only`]: its CPUs then reach their pcplists with neither a lock nor masked interrupts. Neighbour:
//! [`pcp::gate`](crate::pcp), which has the argument.

#![expect(
    unsafe_code,
    reason = "a promise about CPUs that only the kernel can make is an unsafe constructor"
)]

use core::fmt;

/// A CPU's number: dense, from 0 for the boot CPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CpuId(usize);

impl CpuId {
    /// The CPU that the kernel started on.
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

/// How a CPU gets at its own pcplists: [`Platform::PCP_ACCESS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PcpAccess(Access);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    Locked,
    OwnerOnly,
}

impl PcpAccess {
    /// Under a spin lock and with interrupts masked. Right for every kernel.
    pub const LOCKED: Self = Self(Access::Locked);

    /// With plain loads and stores under a *busy* mark that only the CPU itself writes: no locked instruction, and
    /// interrupts stay as they are. An interrupt handler that finds the mark set takes the zone's path. A drain closes the
    /// lists, has every CPU execute a barrier ([`Platform::barrier_on_every_cpu`]) and waits until no mark is set.
    ///
    /// # Safety
    ///
    /// Whoever implements [`Platform`] with this promises that
    ///
    /// - [`current_cpu`](Platform::current_cpu) tells the CPU that executes the call, as a number below the CPU count
    ///   given at construction, and tells no two CPUs the same;
    /// - code in the middle of a call to the allocator is not moved to another CPU, and what interrupts it on its CPU
    ///   returns to it before that CPU runs other code that calls the allocator (interrupt handlers do; a preemptive
    ///   scheduler keeps preemption off for the time of a call);
    /// - [`barrier_on_every_cpu`](Platform::barrier_on_every_cpu) does what it says.
    ///
    /// Two frees of one block are told apart by its descriptor, as ever, unless they overlap *in time*. On the pcplists of two CPUs both are
    /// then taken for good, and the block is believed on one of them only: the other drops it when it is met there, and until then an audit
    /// shows it as damage. If one of them goes by way of the zone, that of an interrupt handler for instance, nothing finds it: promise that there are none.
    #[must_use]
    pub const unsafe fn owner_only() -> Self {
        Self(Access::OwnerOnly)
    }

    #[inline(always)]
    pub(crate) const fn is_owner_only(self) -> bool {
        matches!(self.0, Access::OwnerOnly)
    }
}

/// What the allocator asks of its kernel.
///
/// ```
/// /// One CPU, and no interrupt handler that allocates.
/// struct Bare;
/// impl pageblock::Platform for Bare {}
/// ```
pub trait Platform {
    /// How a CPU gets at its own pcplists.
    const PCP_ACCESS: PcpAccess = PcpAccess::LOCKED;

    /// The CPU that this code runs on, as long as interrupts stay masked.
    ///
    /// Chooses which per-CPU lists are used, nothing else: they are locked, so that an answer that
    /// is out of date costs speed only. Without this method all CPUs share the first one's lists.
    /// Numbers beyond the CPU count given at construction wrap around.
    fn current_cpu(&self) -> CpuId {
        CpuId::BOOT
    }

    /// Runs `f` with interrupts masked on this CPU, then restores what was before.
    ///
    /// Implement it as soon as any interrupt handler allocates or frees
    /// (`x86_64::instructions::interrupts::without_interrupts` has this shape): the allocator's locks
    /// are only ever held inside `f`, so a handler can never wait for the code that it interrupted.
    /// Calls nest.
    fn without_interrupts<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    /// Returns when every CPU that may call the allocator has executed a full memory barrier since the call began: an
    /// inter-processor call, or `membarrier` in a hosted program. Asked for by drains, isolations and audits, with no lock
    /// of the allocator held and interrupts as the caller had them. It must return even if several CPUs call it at
    /// once, so a CPU that waits in it goes on answering others.
    ///
    /// Never called unless [`PCP_ACCESS`](Self::PCP_ACCESS) is [`PcpAccess::owner_only`].
    fn barrier_on_every_cpu(&self) {}
}
