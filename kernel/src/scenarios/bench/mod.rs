//! Guest instructions of each operation of the allocator, and how often one takes the zone's lock.
//!
//! On one CPU all workloads are measured, on several CPUs only [`storm`]. The virtual machine must
//! count instructions as time, which [`counter`] checks. The results are deterministic: the same
//! image on the same machine gives the same numbers.
//!
//! | file | what |
//! |---|---|
//! | `counter` | counts instructions, after a calibration |
//! | `reference` | figures of Linux, and targets |
//! | `report` | the rows of the report |
//! | `blocks` | the measured calls, and an array of allocated blocks |
//! | `pages` | pairs, bursts and bulk allocation |
//! | `random` | random orders with half of memory in use |
//! | `contig` | isolation and contiguous allocation |
//! | `masked` | the longest time with interrupts masked |
//! | `storm` | all CPUs at once |

mod blocks;
mod contig;
mod counter;
mod masked;
mod pages;
mod random;
mod reference;
mod report;
mod storm;

use pageblock_protocol::{BootConfig, Value, Verdict, stat};

use crate::memory::allocator;
use crate::report::stats;
use crate::scenarios::bench::blocks::NoMemory;
use crate::scenarios::verdict::{Judge, Refused, refuse};
use crate::space::{contents, pages_migrated};
use crate::{smp, time};

/// Runs the benchmark. A cycle is 1,000 operations of the random workloads.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let started = time::now_us();
    let operations = u64::from(config.cycles) * 1000;
    contents::set_seed(config.seed);
    allocator().drain_all();
    let free_before = allocator().free_count();

    if smp::cpu_count() == 1 {
        calibrate()?;
        report::explain();
        report::progress("pairs, bursts and bulk");
        let measured = pages::measure(config.seed)
            .and_then(|()| random::measure(config.seed, operations))
            .and_then(|()| contig::measure())
            .and_then(|()| masked::measure(config.seed));
        if measured == Err(NoMemory) {
            return Err(refuse(format_args!("there is not enough memory: the benchmark needs 512 MiB")));
        }
    }
    report::progress("all CPUs at once");
    let operations = storm::measure(config.seed, operations / 4);

    allocator().drain_all();
    report_numbers(operations, (time::now_us() - started) / 1000);
    Ok(judge(free_before))
}

/// Checks that the counter counts instructions.
fn calibrate() -> Result<(), Refused> {
    for found in counter::calibrate() {
        report::calibration(&found);
        if !found.is_right() {
            return Err(refuse(format_args!(
                "the time stamp counter does not count instructions: a loop of {} reads {}. The benchmark \
                 needs QEMU with `-icount shift=0`",
                found.known,
                Value::Thousandths(found.read.thousandths()),
            )));
        }
    }
    Ok(())
}

fn report_numbers(operations: u64, wall_ms: u64) {
    let audit = allocator().audit();
    stats([
        (stat::ALLOCATIONS_AND_FREES, operations),
        (stat::MAX_ABS_DRIFT_PAGES, audit.max_abs_drift() as u64),
        (stat::PAGES_MIGRATED, pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::WALL_MS, wall_ms),
    ]);
}

/// Reports what did not hold. The numbers of an incorrect allocator mean nothing.
fn judge(free_before: usize) -> Verdict {
    let mut judge = Judge::new();
    judge.check_free_count(free_before);
    judge.check_memory();
    if blocks::refused_frees() != 0 {
        judge.broken(format_args!("{} frees were refused", blocks::refused_frees()));
    }
    judge.verdict()
}
