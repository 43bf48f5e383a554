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

static LOG: Lock<AuditLog> = Lock::new(AuditLog::new(Expected::Exact));

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
    /// The free counter's drift, all zones together, when it was furthest from 0.
    pub(crate) extreme_free_drift: isize,
    expected: Expected,
    last_free_drift: [isize; ZoneKind::COUNT],
    last_at: u64,
}

/// What the audits of a run are to find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    /// Nothing. The first one that finds something is reported.
    Exact,
    /// A mistake that is made on purpose.
    #[cfg(feature = "faults")]
    Mistakes,
}

impl AuditLog {
    const fn new(expected: Expected) -> Self {
        Self {
            audits: 0,
            missed_pages: 0,
            max_abs_drift: 0,
            misplacements: 0,
            extreme_free_drift: 0,
            expected,
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
        if found.free_drift().unsigned_abs() > self.extreme_free_drift.unsigned_abs() {
            self.extreme_free_drift = found.free_drift();
        }
        if was_clean && !self.is_clean() && self.expected == Expected::Exact {
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
    *LOG.lock() = AuditLog::new(Expected::Exact);
}

/// Starts a new record, of a mistake that is made on purpose: what it finds is not reported one by one.
#[cfg(feature = "faults")]
pub(crate) fn reset_for_mistakes() {
    *LOG.lock() = AuditLog::new(Expected::Mistakes);
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
