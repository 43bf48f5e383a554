//! The gate of a CPU's lists: who may touch them, and how another CPU gets in.
//!
//! Two kinds of it, chosen by [`Platform::PCP_ACCESS`](crate::Platform::PCP_ACCESS). *Locked*: a spin lock under
//! masked interrupts, for its CPU as for others. *Owner only*: its CPU sets a **busy** mark with a plain store, and no lock
//! is taken and no interrupt masked; the rest of this page is about that one.
//!
//! # Why nobody else is inside while a CPU is
//!
//! - **An interrupt handler** on the same CPU runs between two instructions of what it interrupted. If that was inside, the
//!   handler sees the mark and goes to the zone instead. If that had read the mark and not yet set it, the handler comes, leaves
//!   the lists whole and the mark clear, and is gone before the store.
//! - **Another CPU** sets *shut*, then has every CPU execute a full barrier, then waits until *busy* is clear. The owner
//!   stores *busy*, then loads *shut*. Take the owner's barrier, which the other CPU waits for. Either the owner's store
//!   of *busy* comes before it: then the other CPU sees the mark, and waits until it is cleared. Or it comes after: then so does the
//!   load of *shut*, which sees that it is shut, and the owner leaves without having touched a list. There is no third case, although the owner executes no
//!   barrier of its own: an ordinary store and a later load may pass each other in a CPU, but not a barrier between them.
//! - **Others among themselves** take the lock.
//!
//! What the owner wrote inside is seen by whoever sees *busy* clear (Release, Acquire), and what others wrote is seen by
//! the owner once it sees *shut* at zero (Release, Acquire). The compiler keeps the order because of [`light_barrier`], which is
//! no instruction. Such a pair of barriers is C++'s `asymmetric_thread_fence_light` and `_heavy` (P1202), the kernel's
//! `membarrier`. `tests/models` has this protocol as a model, and the model fails without the heavy one.
//!
//! While lists are shut they look empty to whoever takes and full to whoever gives: *shut* is then larger than any length, so
//! that the comparison that each makes anyway is the only one. Neighbours: [`lists`](super::lists) behind the gate,
//! [`drain`](super::drain) for those who come from outside.

#![expect(unsafe_code, reason = "a CPU reads its own mark without an atomic load")]

use crate::sync::{
    AtomicU8, AtomicU32, Exclusive, Guard, Lock, Ordering, interrupt_point, light_barrier, own, spin_hint,
};

/// The gate of one CPU's lists.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Set while the owner is inside. Written by the owner alone.
    busy: AtomicU8,
    /// [`Self::SHUT`] while anybody wants in from outside.
    shut: AtomicU32,
    /// For everybody in locked mode, for those from outside in the other. How many these are.
    lock: Lock<usize>,
    /// What is behind the gate.
    lists: Exclusive,
}

/// The owner is inside, until this is dropped.
#[derive(Debug)]
pub(crate) struct Inside<'a>(&'a Gate);

impl Gate {
    /// Larger than anything that stands in a list.
    const SHUT: u32 = u32::MAX;

    pub(super) fn new() -> Self {
        Self { busy: AtomicU8::new(0), shut: AtomicU32::new(0), lock: Lock::new(0), lists: Exclusive::new() }
    }

    /// The owner goes in, in owner-only mode, unless it interrupted itself there. What it may do inside still depends on
    /// [`shut`](Self::shut).
    #[inline(always)]
    pub(super) fn enter(&self) -> Option<Inside<'_>> {
        // SAFETY: in owner-only mode the owner alone writes its mark, and this is the owner.
        if unsafe { own(&self.busy) } != 0 {
            return None;
        }
        self.busy.store(1, Ordering::Relaxed);
        light_barrier();
        Some(Inside(self))
    }

    /// Zero, or larger than anything in a list if somebody from outside is there or coming. To be read inside.
    #[inline(always)]
    pub(super) fn shut(&self) -> u32 {
        let shut = self.shut.load(Ordering::Acquire);
        interrupt_point();
        shut
    }

    /// The caller is inside and changes a list.
    #[inline(always)]
    pub(super) fn used(&self) {
        self.lists.used();
    }

    /// The way in for all in locked mode, and for those from outside otherwise: after [`shut_out`](Self::shut_out), a barrier on every CPU and
    /// [`wait_for_owner`](Self::wait_for_owner). Interrupts must be masked.
    #[inline]
    pub(super) fn lock(&self) -> Guard<'_, usize> {
        self.lock.lock()
    }

    /// Sends the owner to the zone from now on; it may still be inside. Interrupts must be masked.
    pub(super) fn shut_out(&self) {
        let mut outsiders = self.lock();
        *outsiders += 1;
        self.shut.store(Self::SHUT, Ordering::SeqCst);
    }

    /// Lets the owner in again, if nobody else keeps it out. Interrupts must be masked.
    pub(super) fn let_in(&self) {
        let mut outsiders = self.lock();
        *outsiders -= 1;
        if *outsiders == 0 {
            self.shut.store(0, Ordering::Release);
        }
    }

    /// Returns once the owner is outside, where it then stays as long as it is shut out.
    pub(super) fn wait_for_owner(&self) {
        while self.busy.load(Ordering::Acquire) != 0 {
            spin_hint();
        }
    }
}

impl Drop for Inside<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        interrupt_point();
        self.0.busy.store(0, Ordering::Release);
    }
}
