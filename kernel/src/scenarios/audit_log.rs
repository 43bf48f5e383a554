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

use pageblock::{AuditReport, ZoneKind};
use pageblock_protocol::{Line, Text};

use crate::memory::allocator;
use crate::report;
use crate::space::lock::Lock;
use crate::space::pages;

/// Allocations between two audits that nobody asked for in particular. By work and not by time: an
/// audit stops the allocator, so that a slow host would else see little else.
const PACE: u64 = 600;

static LOG: Lock<AuditLog> = Lock::new(AuditLog::new());

/// What the audits of a run found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditLog {
    /// Audits made.
    pub(crate) audits: u64,
    /// The sum defined above.
    pub(crate) missed_pages: u64,
    /// The largest |drift| of any counter of any zone in any audit.
    pub(crate) max_abs_drift: u64,
    /// Audits that found a page or a list where it should not be.
    pub(crate) misplacements: u64,
    last_free_drift: [isize; ZoneKind::COUNT],
    last_at: u64,
}

impl AuditLog {
    const fn new() -> Self {
        Self {
            audits: 0,
            missed_pages: 0,
            max_abs_drift: 0,
            misplacements: 0,
            last_free_drift: [0; ZoneKind::COUNT],
            last_at: 0,
        }
    }

    fn record(&mut self, found: &AuditReport) {
        let was_clean = self.is_clean();
        self.audits += 1;
        for (zone, last) in found.zones.iter().zip(&mut self.last_free_drift) {
            let drift = zone.free.drift();
            self.missed_pages += drift.abs_diff(*last) as u64;
            *last = drift;
        }
        self.max_abs_drift = self.max_abs_drift.max(found.max_abs_drift() as u64);
        let misplaced = found.zones.iter().any(|zone| zone.misplaced + zone.damaged_lists > 0);
        self.misplacements += u64::from(misplaced);
        if was_clean && !self.is_clean() {
            let text = format_args!("audit {}: {found}", self.audits);
            report::line(Line::Broken(Text::new(text)));
        }
    }

    /// Whether every audit found every counter right and every page where it belongs.
    pub(crate) fn is_clean(&self) -> bool {
        self.max_abs_drift == 0 && self.misplacements == 0
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
        && pages::allocations() >= log.last_at + PACE
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
        self.record(&allocator().audit());
        self.last_at = pages::allocations();
    }
}
