//! Takes half of memory offline and brings it back, round after round, beside the running jobs.
//!
//! A task like the jobs: a step takes one block off or brings one back. A block that cannot go is
//! tried again after the others, and again while its round's patience lasts. What is offline is partly
//! filled and checked before it comes back, so that somebody who still uses it shows. In the first
//! round a block has a page in the way, on purpose, and the kernel vetoes one block each way.
//! Neighbours: [`super`] sets it up and judges, [`blocks`](super::blocks) chooses.

use core::fmt;
use core::mem;

use heapless::String;
use pageblock::{ContigOptions, HotplugError, Pfn, PfnRange};
use pageblock_protocol::{Line, Text};

use super::blocks::Blocks;
use super::notifier::Notifier;
use super::outcome::{Outcome, min_mark};
use crate::jobs::{Job, Progress, Task, file_cache};
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::scenarios::audited::{Audited, check, fill};
use crate::{report, time};

/// How long a round tries to get all its blocks.
const PATIENCE_US: u64 = 20_000_000;
/// How long the jobs may take to get going.
const WARM_UP_US: u64 = 10_000_000;
/// Time between two lines while nothing else is to be said.
const LINE_PACE_US: u64 = 500_000;
/// File pages that are dropped when blocks did not go.
const SHRINK: usize = 4096;
/// One in so many offline frames is filled and checked.
const SAMPLE: usize = 8;
/// Failures that are told in full.
const TOLD: u32 = 5;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    WarmUp,
    Offline,
    Pause,
    Online,
}

/// The task that takes blocks off and brings them back.
pub(super) struct Driver {
    pub(super) blocks: Blocks,
    pub(super) notifier: Notifier,
    pub(super) outcome: Outcome,
    rounds: u32,
    /// Pages to be offline at a time.
    wanted: usize,
    /// Free pages below which the jobs are well under way.
    warm_below: usize,
    interval_us: u64,
    managed: usize,
    phase: Phase,
    phase_since_us: u64,
    next_line_us: u64,
}

fn sample(range: PfnRange) -> impl Iterator<Item = Pfn> {
    range.iter().step_by(SAMPLE)
}

fn note(text: fmt::Arguments<'_>) {
    report::line(Line::Note(Text::new(text)));
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
            next_line_us: 0,
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
            self.meet_an_obstacle();
        }
        if self.is_first_round() && matches!(phase, Phase::Offline | Phase::Online) {
            self.notifier.refuse_next();
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
        // An error only says that the text was cut short.
        let _ = fmt::write(&mut kept, format_args!("round {}: {text}", self.outcome.rounds + 1));
        // The first few are enough.
        let _ = self.outcome.violations.push(kept);
    }

    /// Tries to take a block offline that has a page in it which cannot move: the dry run must name that
    /// page, the attempt must fail because of it, and nothing may stay isolated.
    fn meet_an_obstacle(&mut self) {
        let Some(block) = self.blocks.iter_mut().find(|block| block.is_removable()) else { return };
        let (range, migrate, options) = (block.range, Audited::new(), ContigOptions::default());
        let page = PfnRange::with_len(Pfn::new(range.start().number() + range.len() / 2), 1);
        // Somebody unmovable may be there already. Then there is nothing to show.
        let Ok(obstacle) = allocator().alloc_contig(page, &migrate, options) else { return };
        let mut named = false;
        let looked = allocator().offline_dry_run(range, |found| named |= found.pfn == page.start());
        let gone = allocator().offline(range, &migrate, &self.notifier, options);
        drop(obstacle);
        match gone {
            Ok(_) => self.broken(format_args!("{range} went offline around {}", page.start())),
            Err(error) => {
                note(format_args!("on purpose in the way once: {error}"));
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

    /// Takes the next block offline, or decides that there is none.
    fn offline_one(&mut self) {
        let Some(block) = self.blocks.next_to_go() else {
            if self.has_lasted(PATIENCE_US) {
                self.outcome.short_rounds += 1;
                self.enter(Phase::Pause);
                return;
            }
            // The jobs go on meanwhile; what is in the way may go with them.
            file_cache::shrink(SHRINK);
            self.blocks.iter_mut().for_each(|block| block.tried = false);
            return;
        };
        block.tried = true;
        let retries = u32::from(mem::take(&mut block.failed));
        block.retries += retries;
        let (range, started, mark) = (block.range, time::now_us(), min_mark());
        let migrate = Audited::new();
        let gone = allocator().offline(range, &migrate, &self.notifier, ContigOptions::default());
        drop(migrate);
        self.outcome.retries += retries;
        match gone {
            Ok((offline, stats)) => {
                self.outcome.latency.record(time::now_us() - started);
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
                if self.outcome.failures < TOLD {
                    note(format_args!("{range} stays online for now: {error}"));
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

    /// Brings the next block back. False if all are.
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
            self.broken(format_args!("{managed} pages are managed, and not {expected}"));
        }
    }

    fn end_round(&mut self) {
        audit_log::audit_now();
        if let Err(violation) = allocator().verify() {
            self.broken(format_args!("verify: {violation}"));
        }
        self.outcome.rounds += 1;
        self.say_progress("rounds");
        self.enter(Phase::Offline);
    }

    fn say_progress(&self, label: &str) {
        report::line(Line::Progress {
            done: self.outcome.rounds.into(),
            total: self.rounds.into(),
            label: Text::from(label),
        });
    }

    fn say_something(&mut self) {
        let now = time::now_us();
        if now >= self.next_line_us {
            self.next_line_us = now + LINE_PACE_US;
            self.say_progress(match self.phase {
                Phase::WarmUp => "jobs start",
                Phase::Offline => "taking memory offline",
                Phase::Pause => "half of memory is offline",
                Phase::Online => "bringing memory back",
            });
        }
    }
}

impl Task for Driver {
    fn step(&mut self) -> Progress {
        if self.outcome.rounds == self.rounds {
            Job::stop_all();
            return Progress::Done;
        }
        self.say_something();
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
