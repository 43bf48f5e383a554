//! The record of all audits of a run: how many, and how far any counter was ever off.
//!
//! An audit compares the counters with the lists while all CPUs keep working
//! (`PageAllocator::audit`). *Missed pages* is what the 2014 discussion measured: the number of pages
//! by which counting went wrong, here
//!
//! > the sum, over successive audits and over zones, of |driftₜ − driftₜ₋₁| of the free counter,
//!
//! so that an error in one direction cannot cancel one in the other, and an error that stays is
//! counted once. Audits are recorded one at a time, so that "successive" has a meaning; a CPU that
//! finds another one at it leaves it to that one.

use core::fmt;

use pageblock::{AuditReport, ZoneKind};
use pageblock_protocol::{Line, Text};
use spin::Mutex;

use crate::{memory, report, time};

/// Microseconds between two audits that nobody asked for in particular.
const PACE_US: u64 = 2_000;

static LOG: Mutex<AuditLog> = Mutex::new(AuditLog::new());

/// What the audits of a run found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditLog {
    /// Audits made.
    pub(crate) audits: u64,
    /// The sum defined above.
    pub(crate) missed_pages: u64,
    /// The largest |drift| of any counter of any zone in any audit.
    pub(crate) max_abs_drift: u64,
    last_free_drift: [i64; ZoneKind::COUNT],
    last_at_us: u64,
}

impl AuditLog {
    const fn new() -> Self {
        Self {
            audits: 0,
            missed_pages: 0,
            max_abs_drift: 0,
            last_free_drift: [0; ZoneKind::COUNT],
            last_at_us: 0,
        }
    }

    fn record(&mut self, found: &AuditReport) {
        let clean = self.max_abs_drift == 0;
        self.audits += 1;
        for zone in found.zones() {
            let drift = zone.free.drift() as i64;
            let last = &mut self.last_free_drift[zone.kind as usize];
            self.missed_pages += drift.abs_diff(*last);
            *last = drift;
            for counter in zone.counters() {
                self.max_abs_drift = self.max_abs_drift.max(counter.drift().unsigned_abs() as u64);
            }
        }
        if clean && self.max_abs_drift != 0 {
            broken(format_args!("audit {}: {found}", self.audits));
        }
    }
}

/// Starts a new record.
pub(crate) fn reset() {
    *LOG.lock() = AuditLog::new();
}

/// The record so far.
pub(crate) fn summary() -> AuditLog {
    *LOG.lock()
}

/// Makes an audit and records it, unless another CPU is at it. Callable with no lock held.
pub(crate) fn audit() {
    if let Some(mut log) = LOG.try_lock() {
        log.audit();
    }
}

/// Makes an audit if the last one was a while ago.
pub(crate) fn audit_if_due() {
    if let Some(mut log) = LOG.try_lock()
        && time::now_us().saturating_sub(log.last_at_us) >= PACE_US
    {
        log.audit();
    }
}

/// Makes an audit, after any that another CPU is at.
pub(crate) fn audit_now() {
    LOG.lock().audit();
}

impl AuditLog {
    fn audit(&mut self) {
        self.record(&memory::allocator().audit());
        self.last_at_us = time::now_us();
    }
}

fn broken(text: fmt::Arguments<'_>) {
    report::line(Line::Broken(Text::new(text)));
}
