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
//! - **Another CPU** clears the grant, makes every CPU execute a full barrier, and then waits until
//!   `owner_inside` is clear. The owner stores `owner_inside` and then loads the grant. Consider
//!   the barrier that the owner's CPU executes. If the store of the owner is before it, the other
//!   CPU reads the mark as set and waits until it is cleared. If the store is after it, so is the
//!   load of the grant: the owner finds its access revoked, and leaves without having used a list.
//!   There is no third case, although the owner itself executes no barrier: a CPU may reorder a
//!   store and a later load, but not across a barrier between them.
//! - **Other CPUs among themselves** take the spin lock.
//!
//! A CPU that reads `owner_inside` as clear sees what the owner wrote, and an owner that reads the
//! grant as not 0 sees what other CPUs wrote (Release and Acquire both times). [`light_barrier`] is
//! a compiler barrier. Such pairs of barriers are `asymmetric_thread_fence_light` and `_heavy` of
//! C++ (P1202) and `membarrier` of Linux; biased locks with revocation are known from Java virtual
//! machines. A loom model checks this protocol, and fails without the barrier on every CPU.
//!
//! What the owner loads is not a flag but a number, the *grant*: 0 while access is revoked, and
//! otherwise the number of frames of the main extent. The fast path compares an index with that
//! number anyway, so that one comparison is the bounds check and the check of the access.

#![expect(unsafe_code, reason = "the owner reads its own mark with a volatile load")]

use crate::sync::{
    AtomicU8, AtomicUsize, Exclusive, Guard, Lock, Ordering, interrupt_point, light_barrier, load_own,
    spin_hint,
};

/// The state of the access in locked mode, where all code that reads it holds the lock.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The revocations that have not ended.
    revokers: usize,
    /// As that of the [`BiasedLock`].
    grant: usize,
}

impl Grant {
    /// 0 while access is revoked.
    #[inline(always)]
    pub(crate) fn get(&self) -> usize {
        self.grant
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revokers > 0
    }
}

#[derive(Debug)]
pub(crate) struct BiasedLock {
    /// Set while the owner has access. Only the owner writes it.
    owner_inside: AtomicU8,
    /// 0 while the owner's access is revoked, otherwise `full`.
    grant: AtomicUsize,
    full: usize,
    /// Taken by all CPUs in locked mode, and by all but the owner in owner-only mode.
    lock: Lock<Grant>,
    /// Stands for the lists in the exclusivity check of the models.
    lists: Exclusive,
}

/// The access of the owner, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct OwnerGuard<'a>(&'a BiasedLock);

impl BiasedLock {
    /// `grant` must not be 0.
    pub(super) fn new(grant: usize) -> Self {
        Self {
            owner_inside: AtomicU8::new(0),
            grant: AtomicUsize::new(grant),
            full: grant,
            lock: Lock::new(Grant { revokers: 0, grant }),
            lists: Exclusive::new(),
        }
    }

    /// Gives the owner access, in owner-only mode; `None` in an interrupt handler that interrupted
    /// an access. The owner may use the lists only if the [`grant`](Self::grant) is not 0.
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

    /// 0 while access is revoked. To be called with access, before anything is read from the lists:
    /// then the owner sees what another CPU wrote to them before it let the owner resume.
    #[inline(always)]
    pub(crate) fn grant(&self) -> usize {
        let grant = self.grant.load(Ordering::Acquire);
        interrupt_point();
        grant
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
    pub(crate) fn lock(&self) -> Guard<'_, Grant> {
        self.lock.lock()
    }

    /// As [`lock`](Self::lock) in locked mode, if no other code has access now.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, Grant>> {
        self.lock.try_lock()
    }

    /// Revokes the owner's access, which ends at its next check. Interrupts must be masked.
    pub(crate) fn revoke(&self) {
        let mut lock = self.lock();
        lock.revokers += 1;
        lock.grant = 0;
        self.grant.store(0, Ordering::SeqCst);
    }

    /// Ends one revocation; the owner resumes after the last one. Interrupts must be masked.
    pub(crate) fn resume(&self) {
        let mut lock = self.lock();
        lock.revokers -= 1;
        if lock.revokers == 0 {
            lock.grant = self.full;
            self.grant.store(self.full, Ordering::Release);
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
