//! The record of all audits of a run: their number, and the largest drift of any counter.
//!
//! An audit compares the counters with the free lists while all CPUs keep working
//! (`PageAllocator::audit`). *Missed pages* is the measure of the 2014 discussion: the number of
//! pages by which the free counter went wrong. It is
//!
//! > the sum, over successive audits and over zones, of |driftₜ − driftₜ₋₁| of the free counter,
//!
//! so an error in one direction does not cancel an error in the other, and an error that remains is
//! counted once. Audits are made one at a time, which gives "successive" its meaning. A CPU that
//! finds another one auditing does not wait for it.

use pageblock::{AuditReport, Reading, ZoneKind};
use pageblock_protocol::{Line, Sample, Text};

use crate::memory::allocator;
use crate::report::{self, samples};
use crate::space::pages;
use crate::sync::Lock;

/// Allocations between two periodic audits. The period is work and not time, because an audit stops
/// the allocator: on a slow host, audits by time would leave no time for anything else.
const PERIOD: u64 = 600;

static LOG: Lock<AuditLog> = Lock::new(AuditLog::new(Expected::Exact));

/// The findings of the audits of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditLog {
    /// Audits made.
    pub(crate) audits: u64,
    /// The sum defined above.
    pub(crate) missed_pages: u64,
    /// The largest |drift| of any counter of any zone in any audit.
    pub(crate) max_abs_drift: u64,
    /// Audits that found a page on a wrong list, or a damaged list.
    pub(crate) misplacements: u64,
    /// The drift of the free counter, summed over zones, when it was furthest from 0.
    pub(crate) extreme_free_drift: isize,
    expected: Expected,
    last_free_drift: [isize; ZoneKind::COUNT],
    last_at: u64,
}

/// What the audits of a run are expected to find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    /// No drift. The first audit with a finding is reported.
    Exact,
    /// The drift of a mistake that is switched on.
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
        let series = match self.expected {
            Expected::Exact => "exact",
            #[cfg(feature = "faults")]
            Expected::Mistakes => "mistakes",
        };
        samples::send(series, counts(found));
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
            report::events::report(report::line);
        }
    }

    /// Whether every audit found all counters exact and all pages on the right lists.
    pub(crate) fn is_clean(&self) -> bool {
        self.max_abs_drift == 0 && self.misplacements == 0
    }
}

/// The free counters of all zones, and the truth, as a sample.
pub(crate) fn counts(found: &AuditReport) -> Sample<'static> {
    let sum = |of: fn(&Reading) -> usize| found.zones.iter().map(|zone| of(&zone.free) as i64).sum();
    Sample::Audit { counter: sum(|free| free.counter), truth: sum(|free| free.truth) }
}

/// Starts a new record.
pub(crate) fn reset() {
    *LOG.lock() = AuditLog::new(Expected::Exact);
}

/// Starts a new record for a mistake that is switched on. Its findings are not reported one by one.
#[cfg(feature = "faults")]
pub(crate) fn reset_for_mistakes() {
    *LOG.lock() = AuditLog::new(Expected::Mistakes);
}

/// The record so far.
pub(crate) fn summary() -> AuditLog {
    *LOG.lock()
}

/// Makes and records an audit, unless another CPU is auditing. The caller must hold no lock.
pub(crate) fn audit() {
    if let Some(mut log) = LOG.try_lock() {
        log.audit();
    }
}

/// Makes an audit if a period has passed since the last one.
pub(crate) fn audit_if_due() {
    if let Some(mut log) = LOG.try_lock()
        && pages::allocations() >= log.last_at + PERIOD
    {
        log.audit();
    }
}

/// Makes an audit. If another CPU is auditing, waits for it first.
pub(crate) fn audit_now() {
    LOG.lock().audit();
}

impl AuditLog {
    fn audit(&mut self) {
        self.record(&allocator().audit());
        self.last_at = pages::allocations();
    }
}
