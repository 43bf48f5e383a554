//! The lock of one CPU's lists, biased towards that CPU, its *owner*.
//!
//! It has two modes, chosen by [`Platform::PCP_ACCESS`](crate::Platform::PCP_ACCESS). In *locked*
//! mode it is a spin lock under masked interrupts, for the owner as for others. In *owner-only*
//! mode the owner sets a mark with a plain store, takes no lock and masks no interrupts; another
//! CPU that wants access *revokes* the owner's access first, and lets it *resume* when done. The
//! rest of this text is about owner-only mode.
//!
//! # Why no other code uses the lists while the owner does
//!
//! - **An interrupt handler** on the owner's CPU runs between two instructions of the code that it
//!   interrupts. If that code has access, the handler finds `owner_inside` set and takes the zone's
//!   path. If that code has read the mark as clear and not yet set it, the handler uses the lists,
//!   leaves them whole and the mark clear, and has returned before the store.
//! - **Another CPU** sets `revoked`, makes every CPU execute a full barrier, and then waits until
//!   `owner_inside` is clear. The owner stores `owner_inside` and then loads `revoked`. Consider
//!   the barrier that the owner's CPU executes. If the owner's store comes before it, the other CPU
//!   sees the mark and waits until it is cleared. If the store comes after it, so does the load of
//!   `revoked`, and the owner sees that its access is revoked and leaves without having used a
//!   list. There is no third case, although the owner executes no barrier of its own: a CPU may
//!   reorder a store and a later load, but not across a barrier between them.
//! - **Other CPUs among themselves** take the spin lock.
//!
//! Whoever sees `owner_inside` clear sees what the owner wrote (Release, Acquire), and the owner
//! sees what others wrote once it sees `revoked` at zero (Release, Acquire). [`light_barrier`],
//! which is no instruction, keeps the compiler from reordering. Such pairs of barriers are
//! `asymmetric_thread_fence_light` and `_heavy` of C++ (P1202) and `membarrier` of Linux; biased
//! locks with revocation are known from Java virtual machines. A loom model has this protocol, and
//! fails without the barrier on every CPU.
//!
//! While access is revoked, `revoked` is [`REVOKED`], larger than any length, so that the length
//! checks of pop and push both fail and no extra branch is needed.

#![expect(unsafe_code, reason = "a CPU reads its own mark without an atomic load")]

use crate::sync::{
    AtomicU8, AtomicU32, Exclusive, Guard, Lock, Ordering, interrupt_point, light_barrier, load_own,
    spin_hint,
};

/// The value of a revocation word while access is revoked: larger than any length and any index.
pub(super) const REVOKED: u32 = u32::MAX;

/// The lock of one CPU's lists.
#[derive(Debug)]
pub(crate) struct BiasedLock {
    /// Set while the owner has access. Only the owner writes it.
    owner_inside: AtomicU8,
    /// [`REVOKED`] while another CPU has or wants access, otherwise 0.
    revoked: AtomicU32,
    /// Taken by everyone in locked mode, and by other CPUs in owner-only mode. Holds how many of
    /// these have revoked the owner's access.
    lock: Lock<usize>,
    /// The lists, for the models' exclusivity check.
    lists: Exclusive,
}

/// The owner has access until this is dropped.
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

    /// Gives the owner access in owner-only mode; `None` in an interrupt handler that interrupted
    /// an access. What the owner may do then still depends on [`revoked`](Self::revoked).
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

    /// 0, or [`REVOKED`] if another CPU has or wants access. To be called with access.
    #[inline(always)]
    pub(super) fn revoked(&self) -> u32 {
        let revoked = self.revoked.load(Ordering::Acquire);
        interrupt_point();
        revoked
    }

    /// Tells the models that the caller changes a list.
    #[inline(always)]
    pub(super) fn used(&self) {
        self.lists.used();
    }

    /// Takes the spin lock: access for everyone in locked mode, and for other CPUs in owner-only
    /// mode, after [`revoke`](Self::revoke), a barrier on every CPU and
    /// [`wait_for_owner`](Self::wait_for_owner). Interrupts must be masked.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, usize> {
        self.lock.lock()
    }

    /// Revokes the owner's access from its next check on. Interrupts must be masked.
    pub(crate) fn revoke(&self) {
        let mut revokers = self.lock();
        *revokers += 1;
        self.revoked.store(REVOKED, Ordering::SeqCst);
    }

    /// Lets the owner resume, unless others have revoked its access too. Interrupts must be masked.
    pub(crate) fn resume(&self) {
        let mut revokers = self.lock();
        *revokers -= 1;
        if *revokers == 0 {
            self.revoked.store(0, Ordering::Release);
        }
    }

    /// Waits until the owner has no access. It gets none again while it is revoked.
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
