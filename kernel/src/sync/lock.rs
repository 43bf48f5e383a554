//! A lock that spins briefly and then halts until the next interrupt.
//!
//! On a virtual machine the holder of a contended lock is often a virtual CPU that the host does
//! not run at the moment, and spinning takes host CPU time away from it. A waiter therefore halts
//! after a few microseconds; the next interrupt, at most one tick away, wakes it. This suits locks
//! that are taken with interrupts enabled and never by a handler. If masked, it spins.

use core::sync::atomic::{AtomicU32, Ordering};

use spin::mutex::SpinMutex;
use spin::relax::RelaxStrategy;
use x86_64::instructions::{hlt, interrupts};

/// A mutual exclusion lock for code that can be interrupted.
pub(crate) type Lock<T> = SpinMutex<T, SpinThenHalt>;

/// Failed attempts between two halts: a few microseconds.
const SPINS: u32 = 256;

/// How a [`Lock`] waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpinThenHalt;

impl RelaxStrategy for SpinThenHalt {
    fn relax() {
        // One count for all waiters together: which of them halts, and when, does not matter.
        static ATTEMPTS: AtomicU32 = AtomicU32::new(1);
        if ATTEMPTS.fetch_add(1, Ordering::Relaxed).is_multiple_of(SPINS) && interrupts::are_enabled() {
            hlt();
        }
    }
}
