//! The experiment with a historical accounting mistake, and without it.
//!
//! One boot shows one mistake: the machine counts right for the first half and wrong for the second,
//! everything else stays as it was. Beside the jobs there are the other users that the mistakes need:
//! somebody isolates ranges and lets go of them, somebody frees and allocates right there. The race
//! windows are stretched in both halves alike, so that the mistake is the only difference between
//! them. A row says what the audits found.
//!
//! | file | what |
//! |---|---|
//! | `experiment` | the contiguous allocations, and when the mistake is switched on |
//! | `bystanders` | the other users of isolation, and who comes in between |
//! | `meeting` | makes race windows longer |
//!
//! The kernel survives its mistakes: nothing here trusts a counter that may be wrong.

mod bystanders;
mod experiment;
mod meeting;

use pageblock::{Faults, Order, Tuning};
use pageblock_protocol::{BootConfig, Line, Text, Value, Verdict, stat};

use self::bystanders::{Guest, Isolator};
use self::experiment::{Experiment, Half};
use super::audited::pages_in;
use super::{Refused, audit_log, load, refuse};
use crate::jobs::Plan;
use crate::jobs::executor::TaskRef;
use crate::memory::{self, allocator};
use crate::space::lock::Lock;
use crate::space::{self, contents, pages};
use crate::{report, smp, time};

/// A mistake that has a row in the table.
struct Mistake {
    /// Its name on the command line.
    name: &'static str,
    /// The patch of the 2014 discussion that is about it, or when it was made later.
    patch: &'static str,
    /// Guards are kept below this order, for the mistakes that are about them.
    guard_below: Order,
}

impl Mistake {
    const fn new(name: &'static str, patch: &'static str) -> Self {
        Self { name, patch, guard_below: Order::ZERO }
    }

    const fn about_guards(name: &'static str, patch: &'static str) -> Self {
        Self { name, patch, guard_below: Order::new(2) }
    }
}

const MISTAKES: [Mistake; 10] = [
    Mistake::about_guards("unpatched", "2,3,4,5,9,10"),
    Mistake::about_guards("guard-counted", "2"),
    Mistake::new("cached-type-at-spill", "3"),
    Mistake::new("stale-isolated", "4"),
    Mistake::new("stale-normal", "5"),
    Mistake::new("moved-means-found", "9"),
    Mistake::new("merge-across", "10"),
    Mistake::new("freed-block-only", "v3.18"),
    Mistake::new("first-block-only", "2018,2022"),
    Mistake::about_guards("guard-not-counted", "v6.10"),
];

fn mistake(config: &BootConfig<'_>) -> Option<&'static Mistake> {
    MISTAKES.iter().find(|mistake| config.fault == Some(mistake.name))
}

/// What the allocator of such a boot is tuned to.
pub(super) fn tuning(config: &BootConfig<'_>) -> Tuning {
    let guard_below = mistake(config).map_or(Order::ZERO, |mistake| mistake.guard_below);
    Tuning::default().guard_below(guard_below)
}

static EXPERIMENT: Lock<Option<Experiment>> = Lock::new(None);
static ISOLATOR: Lock<Option<Isolator>> = Lock::new(None);
static GUEST: Lock<Guest> = Lock::new(Guest::new());

/// Runs both halves and reports a row.
pub(super) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let (Some(mistake), Some(faults)) = (mistake(config), config.fault.and_then(Faults::by_name)) else {
        let name = config.fault.unwrap_or("");
        return Err(refuse(format_args!("fault={name}: no such row in the table of faults")));
    };
    let Some(area) = memory::cma() else {
        return Err(refuse(format_args!("cma={}: there is no CMA area", config.cma_mib)));
    };
    let chunk_pages = pages_in(config.chunk_mib);
    if chunk_pages == 0 || chunk_pages > area.range().len() / 2 {
        return Err(refuse(format_args!("chunk={}: the CMA area is to hold two", config.chunk_mib)));
    }
    if smp::cpu_count() < 2 {
        return Err(refuse(format_args!("cpus=1: the races need two CPUs")));
    }
    let jobs = load::jobs(config)?;
    // The command line has switched it on; it is the second half's.
    allocator().set_faults(Faults::empty());
    let started = time::now_us();
    contents::set_seed(config.seed);
    audit_log::reset();
    allocator().drain_all();
    let plan = Plan::new(config.seed, jobs, allocator().free_count(), chunk_pages);
    *EXPERIMENT.lock() = Some(Experiment::new(config, faults, area, chunk_pages));
    *ISOLATOR.lock() = Some(Isolator::new(config.seed, area.range()));
    meeting::stretch();
    load::run(jobs, plan, [&EXPERIMENT as TaskRef, &ISOLATOR, &GUEST]);

    let Some(experiment) = EXPERIMENT.lock().take() else {
        unreachable!("nobody else takes it");
    };
    report_notes(mistake);
    report_numbers(time::now_us() - started);
    Ok(report_row(mistake, &experiment.right, &experiment.wrong))
}

/// What the reader must know to read the row. Said the same way for every row that it is about.
fn report_notes(mistake: &Mistake) {
    fn note(text: core::fmt::Arguments<'_>) {
        report::line(Line::Note(Text::new(text)));
    }
    note(format_args!(
        "drift: the free counter less the free pages, when it was furthest off; + is the dangerous sign"
    ));
    note(format_args!("{}", meeting::Stretched));
    if mistake.guard_below > Order::ZERO {
        note(format_args!(
            "for the faults about guards, and for all together, guards are kept below {}",
            mistake.guard_below
        ));
    }
}

fn report_numbers(took_us: u64) {
    for (key, value) in [
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::ALLOCATIONS, pages::allocations()),
        (stat::WALL_MS, took_us / 1000),
    ] {
        report::line(Line::Stat { key, value: value.cast_signed() });
    }
}

fn report_row(mistake: &Mistake, right: &Half, wrong: &Half) -> Verdict {
    report::line(Line::Stat {
        key: stat::AUDITS,
        value: (right.log.audits + wrong.log.audits).cast_signed(),
    });
    report::line(Line::Stat { key: stat::CONTENTS_CHECKED, value: right.contents_checked.cast_signed() });
    report::line(Line::Stat { key: stat::CONTENTS_CORRUPTED, value: right.contents_corrupted.cast_signed() });
    let detected = !wrong.log.is_clean();
    report::line(Line::Row(mistake.name));
    for (key, value) in [
        ("seed_patch", Value::Word(mistake.patch)),
        ("missed_pages", Value::Integer(wrong.log.missed_pages.cast_signed())),
        ("drift_pages", Value::Integer(wrong.log.extreme_free_drift as i64)),
        ("detected", Value::Word(if detected { "true" } else { "false" })),
        ("fixed_missed_pages", Value::Integer(right.log.missed_pages.cast_signed())),
    ] {
        report::line(Line::Cell { key, value });
    }
    let mut verdict = Verdict::Held;
    let mut broken = |text: core::fmt::Arguments<'_>| {
        report::line(Line::Broken(Text::new(format_args!("{}: {text}", mistake.name))));
        verdict = Verdict::Broken;
    };
    if !detected {
        broken(format_args!("{} audits did not notice it", wrong.log.audits));
    }
    if !right.log.is_clean() {
        broken(format_args!("{} pages missed without it", right.log.missed_pages));
    }
    if right.failed > 0 {
        broken(format_args!("{} contiguous allocations failed without it", right.failed));
    }
    if wrong.failed > 0 {
        let text = format_args!("{}: {} contiguous allocations failed with it", mistake.name, wrong.failed);
        report::line(Line::Note(Text::new(text)));
    }
    verdict
}
