//! Guest instructions for each operation of the allocator, and how often one leaves its CPU's own lists.
//!
//! On one CPU everything is measured; on more of them, [`storm`] alone, which is about the CPUs. The machine must count
//! instructions as time ([`counter`] makes sure). What comes out is deterministic: the same image on the same
//! machine gives the same numbers.
//!
//! | file | what |
//! |---|---|
//! | `counter` | counts instructions, and is calibrated |
//! | `reference` | what to compare with |
//! | `report` | the rows |
//! | `blocks` | the calls that are measured, and a place for what they return |
//! | `pages` | pairs, bursts and bulk |
//! | `random` | random orders with half of memory in use |
//! | `contig` | isolation and contiguous allocation |
//! | `storm` | all CPUs at once |

mod blocks;
mod contig;
mod counter;
mod pages;
mod random;
mod reference;
mod report;
mod storm;

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock_protocol::{BootConfig, Line, Text, Verdict, stat};

use super::{Refused, refuse};
use crate::memory::allocator;
use crate::report::line;
use crate::space::{contents, pages_migrated};
use crate::{smp, time};

/// There was not enough memory for a workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct NoMemory;

/// Runs the benchmark. A cycle is 1,000 operations of a random run.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let started = time::now_us();
    let operations = u64::from(config.cycles) * 1000;
    contents::set_seed(config.seed);
    allocator().drain_all();
    let free_before = allocator().free_count();

    if smp::cpu_count() == 1 {
        calibrate()?;
        report::explain();
        say_progress("pairs, bursts and bulk");
        let measured = pages::measure(config.seed)
            .and_then(|()| random::measure(config.seed, operations))
            .and_then(|()| contig::measure());
        if measured == Err(NoMemory) {
            return Err(refuse(format_args!("there is not enough memory: the benchmark wants 512 MiB")));
        }
    }
    say_progress("all CPUs at once");
    let operations = storm::measure(config.seed, operations / 4);

    allocator().drain_all();
    report_numbers(operations, (time::now_us() - started) / 1000);
    Ok(judge(free_before))
}

/// Makes sure that the counter counts instructions.
fn calibrate() -> Result<(), Refused> {
    for found in counter::calibrate() {
        report::calibration(&found);
        if !found.is_right() {
            return Err(refuse(format_args!(
                "the time stamp counter does not count instructions: a loop of {} reads {}. This wants QEMU with \
                 `-icount shift=0`",
                found.known,
                pageblock_protocol::Value::Thousandths(found.read.thousandths()),
            )));
        }
    }
    Ok(())
}

fn say_progress(label: &str) {
    /// What one CPU does alone: once `pages`, two times 8 in `random`, three times in `contig`. Then the storm.
    const ALONE: u64 = 1 + 2 * 8 + 3;
    static DONE: AtomicU64 = AtomicU64::new(0);
    let total = if smp::cpu_count() == 1 { ALONE + 1 } else { 1 };
    let done = DONE.fetch_add(1, Ordering::Relaxed);
    line(Line::Progress { done, total, label: Text::new(format_args!("{label}")) });
}

fn report_numbers(operations: u64, wall_ms: u64) {
    let audit = allocator().audit();
    for (key, value) in [
        (stat::ALLOCATIONS_AND_FREES, operations),
        (stat::MAX_ABS_DRIFT_PAGES, audit.max_abs_drift() as u64),
        (stat::PAGES_MIGRATED, pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::WALL_MS, wall_ms),
    ] {
        line(Line::Stat { key, value: value.cast_signed() });
    }
}

/// Says what did not hold: a number from an allocator that is wrong is worth nothing.
fn judge(free_before: usize) -> Verdict {
    let mut verdict = Verdict::Held;
    let mut broken = |text: core::fmt::Arguments<'_>| {
        line(Line::Broken(Text::new(text)));
        verdict = Verdict::Broken;
    };
    let free_after = allocator().free_count();
    if free_after != free_before {
        broken(format_args!("{free_before} pages were free before, {free_after} are free after"));
    }
    if contents::corrupted() != 0 {
        broken(format_args!("{} pages with wrong contents", contents::corrupted()));
    }
    if let Err(violation) = allocator().verify() {
        broken(format_args!("verify: {violation}"));
    }
    verdict
}
