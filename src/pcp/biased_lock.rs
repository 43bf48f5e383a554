//! The lock of one CPU's lists, biased towards that CPU, its *owner*.
//!
//! It has three modes, chosen by [`Platform::PCP_ACCESS`](crate::Platform::PCP_ACCESS). In *locked*
//! mode it is a spin lock, taken with interrupts masked by the owner and by other CPUs. The fast
//! path tries it once; the slow path waits for it. In *single-threaded* mode nothing else can use
//! the lists, because the allocator cannot be shared
//! ([`SingleThreaded`](crate::SingleThreaded)). In *owner-only* mode the owner sets a mark with a
//! plain store, takes no lock and masks no interrupts; another CPU *revokes* the owner's access
//! before it uses the lists, and lets the owner *resume* afterwards. The rest of this text is about
//! owner-only mode.
//!
//! # Why no other code uses the lists while the owner does
//!
//! - **An interrupt handler** on the owner's CPU runs between two instructions of the code that it
//!   interrupts. If that code has access, the handler finds `owner_inside` set and uses the zone.
//!   If that code has read the mark as clear but not yet set it, the handler uses the lists, clears
//!   the mark again, and has returned before the interrupted code goes on. The owner reads the mark
//!   with a volatile load, because a handler may write it at any time.
//! - **Another CPU** sets `revoked`, makes every CPU execute a full barrier, and then waits until
//!   `owner_inside` is clear. The owner stores `owner_inside` and then loads `revoked`. Consider
//!   the barrier that the owner's CPU executes. If the store of the owner is before it, the other
//!   CPU reads the mark as set and waits until it is cleared. If the store is after it, so is the
//!   load of `revoked`: the owner finds its access revoked, and leaves without having used a list.
//!   There is no third case, although the owner itself executes no barrier: a CPU may reorder a
//!   store and a later load, but not across a barrier between them.
//! - **Other CPUs among themselves** take the spin lock.
//!
//! A CPU that reads `owner_inside` as clear sees what the owner wrote, and an owner that reads
//! `revoked` as 0 sees what other CPUs wrote (Release and Acquire both times). [`light_barrier`] is
//! a compiler barrier. Such pairs of barriers are `asymmetric_thread_fence_light` and `_heavy` of
//! C++ (P1202) and `membarrier` of Linux; biased locks with revocation are known from Java virtual
//! machines. A loom model checks this protocol, and fails without the barrier on every CPU.
//!
//! While access is revoked, `revoked` has all bits set ([`REVOKED`]). Combined with the index that
//! a pop reads and with the place that a push would use, it makes the checks that these need anyway
//! fail, so that no extra branch is needed.

#![expect(unsafe_code, reason = "the owner reads its own mark with a volatile load")]

use crate::sync::{
    AtomicU8, AtomicU32, Exclusive, Guard, Lock, Ordering, interrupt_point, light_barrier, load_own,
    spin_hint,
};

/// The value of `revoked` while access is revoked: larger than any place and any index.
pub(super) const REVOKED: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct BiasedLock {
    /// Set while the owner has access. Only the owner writes it.
    owner_inside: AtomicU8,
    /// [`REVOKED`] while the owner's access is revoked, otherwise 0.
    revoked: AtomicU32,
    /// Taken by all CPUs in locked mode, and by all but the owner in owner-only mode. The value is
    /// the number of revocations that have not ended. In locked mode, where all code that reads it
    /// holds the lock, access is revoked while it is not 0.
    lock: Lock<usize>,
    /// Stands for the lists in the exclusivity check of the models.
    lists: Exclusive,
}

/// The access of the owner, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct OwnerGuard<'a>(&'a BiasedLock);

impl BiasedLock {
    pub(super) fn new() -> Self {
        Self {
            owner_inside: AtomicU8::new(0),
            revoked: AtomicU32::new(0),
            lock: Lock::new(0),
            lists: Exclusive::new(),
        }
    }

    /// Gives the owner access, in owner-only mode; `None` in an interrupt handler that interrupted
    /// an access. The owner may use the lists only if they are not [`revoked`](Self::revoked).
    #[inline(always)]
    pub(crate) fn enter(&self) -> Option<OwnerGuard<'_>> {
        // SAFETY: in owner-only mode only the owner writes this mark, and this is the owner.
        if unsafe { load_own(&self.owner_inside) } != 0 {
            return None;
        }
        self.owner_inside.store(1, Ordering::Relaxed);
        light_barrier();
        Some(OwnerGuard(self))
    }

    /// 0, or [`REVOKED`]. To be called with access, before anything is read from the lists: then
    /// the owner sees what another CPU wrote to them before it let the owner resume.
    #[inline(always)]
    pub(crate) fn revoked(&self) -> u32 {
        let revoked = self.revoked.load(Ordering::Acquire);
        interrupt_point();
        revoked
    }

    /// Checks in the models that no other CPU uses the lists now.
    #[inline(always)]
    pub(super) fn used(&self) {
        self.lists.used();
    }

    /// Takes the spin lock. It gives access in locked mode, and to other CPUs in owner-only mode
    /// after [`revoke`](Self::revoke), a barrier on every CPU and
    /// [`wait_for_owner`](Self::wait_for_owner). Interrupts must be masked.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, usize> {
        self.lock.lock()
    }

    /// As [`lock`](Self::lock) in locked mode, if no other code has access now.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, usize>> {
        self.lock.try_lock()
    }

    /// Revokes the owner's access, which ends at its next check. Interrupts must be masked.
    pub(crate) fn revoke(&self) {
        let mut revokers = self.lock();
        *revokers += 1;
        self.revoked.store(REVOKED, Ordering::SeqCst);
    }

    /// Ends one revocation; the owner resumes after the last one. Interrupts must be masked.
    pub(crate) fn resume(&self) {
        let mut revokers = self.lock();
        *revokers -= 1;
        if *revokers == 0 {
            self.revoked.store(0, Ordering::Release);
        }
    }

    /// Waits until the owner has no access. While revoked it does not use the lists again.
    pub(crate) fn wait_for_owner(&self) {
        while self.owner_inside.load(Ordering::Acquire) != 0 {
            spin_hint();
        }
    }
}

impl Drop for OwnerGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        interrupt_point();
        self.0.owner_inside.store(0, Ordering::Release);
    }
}
