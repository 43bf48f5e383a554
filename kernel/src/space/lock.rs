//! The lock of spaces, files and the run queue: spins for a moment, then sleeps.
//!
//! A virtual CPU that waits usually waits for one that its host does not run at the moment, and every
//! cycle it spins is taken from that one. So after a moment it halts until the next interrupt, at
//! most a tick away. That is for locks that are taken with interrupts enabled and never by a handler;
//! where they happen to be masked, it only spins.

use core::sync::atomic::{AtomicU32, Ordering};

use spin::mutex::SpinMutex;
use spin::relax::RelaxStrategy;
use x86_64::instructions::{hlt, interrupts};

/// A mutual exclusion lock for code that can be interrupted.
pub(crate) type Lock<T> = SpinMutex<T, SpinThenHalt>;

/// Looks at a lock between two halts: a few microseconds' worth.
const SPINS: u32 = 256;

/// How [`Lock`] waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpinThenHalt;

impl RelaxStrategy for SpinThenHalt {
    fn relax() {
        // Counts for all waiters together; who of them halts when does not matter.
        static LOOKS: AtomicU32 = AtomicU32::new(1);
        if LOOKS.fetch_add(1, Ordering::Relaxed).is_multiple_of(SPINS) && interrupts::are_enabled() {
            hlt();
        }
    }
}
