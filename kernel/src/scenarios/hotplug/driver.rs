//! The driver: takes half of memory offline and brings it back online, in rounds.
//!
//! It is a task like the jobs: each step takes one block offline or brings one online. A block that
//! fails is tried again after the others, until the time of the round is over. A sample of the
//! offline frames is filled, and checked before the block goes online, so that an owner that still
//! uses them is noticed. In the first round one block is tried with an unmovable page in it, and
//! the notifier vetoes one block each way.

use core::fmt;
use core::mem;

use heapless::String;
use pageblock::{ContigOptions, HotplugError, Pfn, PfnRange};
use pageblock_protocol::stat;

use crate::jobs::{Job, Progress, Task, page_cache};
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::scenarios::auditing_migration::AuditingMigration;
use crate::scenarios::frames::{check, fill};
use crate::scenarios::hotplug::blocks::Blocks;
use crate::scenarios::hotplug::notifier::Notifier;
use crate::scenarios::hotplug::outcome::{Outcome, min_mark};
use crate::{report, time};

/// A round that has not taken all its blocks offline after this long continues with fewer.
const RETRY_US: u64 = 20_000_000;
/// The longest wait until the jobs use their memory.
const WARM_UP_US: u64 = 10_000_000;
/// Pages to free from the page cache when all blocks have failed.
const SHRINK: usize = 4096;
/// One in this many offline frames is filled and checked.
const SAMPLE: usize = 8;
/// The number of failures that are reported with their errors.
const REPORTED_FAILURES: u32 = 5;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    WarmUp,
    Offline,
    Pause,
    Online,
}

/// The task that takes blocks offline and brings them online.
pub(super) struct Driver {
    pub(super) blocks: Blocks,
    pub(super) notifier: Notifier,
    pub(super) outcome: Outcome,
    rounds: u32,
    /// The number of pages to take offline in a round.
    wanted: usize,
    /// The warm-up ends when fewer pages than this are free.
    warm_below: usize,
    interval_us: u64,
    managed: usize,
    phase: Phase,
    phase_since_us: u64,
}

fn sample(range: PfnRange) -> impl Iterator<Item = Pfn> {
    range.iter().step_by(SAMPLE)
}

impl Driver {
    pub(super) fn new(
        blocks: Blocks,
        rounds: u32,
        wanted: usize,
        warm_below: usize,
        interval_us: u64,
    ) -> Self {
        let managed = allocator().managed_count();
        Self {
            blocks,
            notifier: Notifier::default(),
            outcome: Outcome::new(),
            rounds,
            wanted,
            warm_below,
            interval_us,
            managed,
            phase: Phase::WarmUp,
            phase_since_us: time::now_us(),
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_since_us = time::now_us();
        for block in self.blocks.iter_mut() {
            block.tried = false;
            block.failed = false;
        }
        if self.is_first_round() && phase == Phase::Offline {
            self.try_with_unmovable_page();
        }
        if self.is_first_round() && matches!(phase, Phase::Offline | Phase::Online) {
            self.notifier.veto_next();
        }
    }

    fn is_first_round(&self) -> bool {
        self.outcome.rounds == 0
    }

    fn has_lasted(&self, us: u64) -> bool {
        time::now_us() >= self.phase_since_us + us
    }

    fn broken(&mut self, text: fmt::Arguments<'_>) {
        let mut kept = String::new();
        // An error means that the text was truncated.
        let _ = fmt::write(&mut kept, format_args!("round {}: {text}", self.outcome.rounds + 1));
        // The first few are enough.
        let _ = self.outcome.violations.push(kept);
    }

    /// Tries to take a block offline that contains an unmovable page. The dry run must name that
    /// page, the attempt must fail because of it, and nothing may stay isolated.
    fn try_with_unmovable_page(&mut self) {
        let Some(block) = self.blocks.iter_mut().find(|block| block.is_removable()) else { return };
        let (range, migrate, options) = (block.range, AuditingMigration::new(), ContigOptions::default());
        let page = PfnRange::with_len(Pfn::new(range.start().number() + range.len() / 2), 1);
        // This fails if another unmovable page is there; then the test is left out.
        let Ok(obstacle) = allocator().alloc_contig(page, &migrate, options) else { return };
        let mut named = false;
        let looked = allocator().offline_dry_run(range, |found| named |= found.pfn == page.start());
        let gone = allocator().offline(range, &migrate, &self.notifier, options);
        drop(obstacle);
        match gone {
            Ok(_) => self.broken(format_args!("{range} went offline around {}", page.start())),
            Err(error) => {
                report::note(format_args!("on purpose in the way once: {error}"));
                block.fail(error);
                self.outcome.failures += 1;
            }
        }
        if looked.is_err() || !named {
            self.broken(format_args!("the dry run does not name {}", page.start()));
        }
        if allocator().isolated_count() != 0 {
            self.broken(format_args!("{range} is isolated after a failure"));
        }
    }

    /// Takes the next block offline, or begins another pass, or ends the phase.
    fn offline_one(&mut self) {
        let Some(block) = self.blocks.next_to_offline() else {
            if self.has_lasted(RETRY_US) {
                self.outcome.short_rounds += 1;
                self.enter(Phase::Pause);
                return;
            }
            // The jobs run on meanwhile and may free the obstacles.
            page_cache::shrink(SHRINK);
            self.blocks.iter_mut().for_each(|block| block.tried = false);
            return;
        };
        block.tried = true;
        let retries = u32::from(mem::take(&mut block.failed));
        block.retries += retries;
        let (range, started, mark) = (block.range, time::now_us(), min_mark());
        let migrate = AuditingMigration::new();
        let gone = allocator().offline(range, &migrate, &self.notifier, ContigOptions::default());
        let ended = time::now_us();
        let took_us = ended - started;
        if gone.is_ok() {
            migrate.send_latency("offlining-of-a-block", started, ended);
        }
        drop(migrate);
        self.outcome.retries += retries;
        match gone {
            Ok((offline, stats)) => {
                self.outcome.latency.record(took_us);
                fill(sample(range));
                block.offline = Some(offline);
                block.offlined += 1;
                block.pages_moved += stats.migrated_pages;
                self.outcome.offlined += 1;
                self.outcome.pages_moved += stats.migrated_pages;
                self.outcome.recalculations += u32::from(min_mark() != mark);
            }
            Err(HotplugError::Vetoed { .. }) => {
                block.tried = false;
                if allocator().isolated_count() != 0 {
                    self.broken(format_args!("{range} is isolated after a veto"));
                }
            }
            Err(error) => {
                if self.outcome.failures < REPORTED_FAILURES {
                    report::note(format_args!("{range} stays online for now: {error}"));
                }
                block.fail(error);
                self.outcome.failures += 1;
            }
        }
        self.check_managed();
        self.outcome.least_managed = self.outcome.least_managed.min(allocator().managed_count());
        self.outcome.least_min_mark = self.outcome.least_min_mark.min(min_mark());
        if self.blocks.offline_pages() >= self.wanted {
            self.enter(Phase::Pause);
        }
    }

    /// Brings the next block online. Returns false if all blocks are online.
    fn online_one(&mut self) -> bool {
        let Some(block) = self.blocks.iter_mut().find(|block| block.offline.is_some()) else {
            return false;
        };
        let Some(offline) = block.offline.take() else { return false };
        let (range, mark) = (offline.range(), min_mark());
        check(sample(range));
        match allocator().online(offline, &self.notifier) {
            Ok(()) => {
                block.onlined += 1;
                self.outcome.onlined += 1;
                self.outcome.recalculations += u32::from(min_mark() != mark);
            }
            Err((offline, HotplugError::Vetoed { .. })) => block.offline = Some(offline),
            Err((_, error)) => self.broken(format_args!("{range} does not come online: {error}")),
        }
        self.check_managed();
        true
    }

    fn check_managed(&mut self) {
        let expected = self.managed - self.blocks.offline_pages();
        let managed = allocator().managed_count();
        if managed != expected {
            self.broken(format_args!("{managed} pages are managed instead of {expected}"));
        }
    }

    fn end_round(&mut self) {
        audit_log::audit_now();
        if let Err(violation) = allocator().verify() {
            self.broken(format_args!("verify: {violation}"));
        }
        self.outcome.rounds += 1;
        report::stats([
            (stat::ROUNDS, self.outcome.rounds.into()),
            (stat::BLOCKS_OFFLINED, self.outcome.offlined.into()),
            (stat::BLOCKS_ONLINED, self.outcome.onlined.into()),
            (stat::FAILURES, self.outcome.failures.into()),
        ]);
        self.enter(Phase::Offline);
    }

    fn report_progress(&self) {
        // A round has two halves: memory goes, and it comes back.
        let (wanted, offline) = (self.wanted as u64, self.blocks.offline_pages() as u64);
        let (of_round, label) = match self.phase {
            Phase::WarmUp => (0, "waiting until jobs use their memory"),
            Phase::Offline => (offline.min(wanted), "taking memory offline"),
            Phase::Pause => (wanted, "half of memory is offline"),
            Phase::Online => ((2 * wanted).saturating_sub(offline), "bringing memory online"),
        };
        let (round, rounds) = (u64::from(self.outcome.rounds), u64::from(self.rounds));
        let part = (round * 2 * wanted + of_round, rounds * 2 * wanted);
        report::progress(&[part], format_args!("round {} of {rounds}, {label}", (round + 1).min(rounds)));
    }
}

impl Task for Driver {
    fn step(&mut self) -> Progress {
        self.report_progress();
        if self.outcome.rounds == self.rounds {
            Job::stop_all();
            return Progress::Done;
        }
        match self.phase {
            Phase::WarmUp => {
                if allocator().free_count() < self.warm_below || self.has_lasted(WARM_UP_US) {
                    self.enter(Phase::Offline);
                }
            }
            Phase::Offline => self.offline_one(),
            Phase::Pause => {
                if self.has_lasted(self.interval_us) {
                    audit_log::audit_now();
                    self.enter(Phase::Online);
                }
            }
            Phase::Online => {
                if !self.online_one() {
                    self.end_round();
                }
            }
        }
        Progress::Again
    }
}
