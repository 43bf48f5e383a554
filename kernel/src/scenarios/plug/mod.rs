//! Memory that the host lends: its size changes all the time while jobs use it.
//!
//! The guest has a virtio memory device, whose requested size the launcher changes over QEMU's
//! monitor. What is plugged joins as movable-only memory. The jobs need no more than the memory of
//! boot, and use what is plugged first. After each change the guest reports what is plugged, and
//! the launcher compares that with what QEMU says. In the end whole DIMMs are inserted and removed.
//!
//! | file | what |
//! |---|---|
//! | `mapping` | plugged memory in the direct map, and the records that live in it |
//! | `failed` | why memory was not plugged, or not unplugged |
//! | `window` | which blocks are plugged, and in which order they come and go |
//! | `dimm` | a whole DIMM that is inserted and removed |
//! | `pin` | a page that does not migrate, on purpose |
//! | `outcome` | the results |
//! | `agreement` | what must be the same after each change |
//! | `driver` | the task that follows the requested size |

mod agreement;
mod dimm;
mod driver;
mod failed;
mod mapping;
mod outcome;
mod pin;
mod window;

use pageblock::{AllocRequest, Geometry, X86_64};
use pageblock_protocol::{BootConfig, Verdict, stat};

use crate::devices::memory_device::MemoryDevice;
use crate::jobs::Plan;
use crate::jobs::block_list::BlockList;
use crate::jobs::executor::TaskRef;
use crate::memory::allocator;
use crate::report;
use crate::scenarios::audit_log;
use crate::scenarios::load::{self, Audits};
use crate::scenarios::plug::driver::Driver;
use crate::scenarios::plug::window::Window;
use crate::scenarios::verdict::{Judge, Refused, refuse};
use crate::space::contents;
use crate::sync::Lock;
use crate::time;

/// The most pages that the jobs use: more would only make the run longer.
const USED_BY_JOBS: usize = 1 << 17;

static DRIVER: Lock<Option<Driver>> = Lock::new(None);

/// Follows the size that the host requests, as often as `config` says.
pub(super) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let jobs = load::jobs(config)?;
    let started = time::now_us();
    contents::set_seed(config.seed);
    audit_log::reset();
    let window = open()?;
    allocator().drain_all();
    let (free, managed) = (allocator().free_count(), allocator().managed_count());
    let room = free.min(USED_BY_JOBS);
    let plan = Plan::new(config.seed, jobs, room / 5 * 2, room / 8);
    touch_free_memory();
    let interval_us = u64::from(config.interval_ms) * 1000;
    *DRIVER.lock() = Some(Driver::new(window, config.cycles, free - room / 4, interval_us));
    load::run(jobs, plan, Audits::Exact, [&DRIVER as TaskRef]);
    audit_log::audit_now();

    let Some(driver) = DRIVER.lock().take() else {
        unreachable!("it was stored above");
    };
    report_numbers(&driver);
    report::stats([(stat::WALL_MS, (time::now_us() - started) / 1000)]);
    driver.outcome.refusals.report();
    Ok(judge(&driver, managed))
}

fn open() -> Result<Window, Refused> {
    let mut device = MemoryDevice::open().map_err(|error| refuse(format_args!("{error}")))?;
    // After a reset of the guest blocks may be plugged that nobody knows of.
    device.unplug_all().map_err(|error| refuse(format_args!("the memory device: {error}")))?;
    let config = device.config().map_err(|error| refuse(format_args!("the memory device: {error}")))?;
    Window::new(device, &config).map_err(|error| refuse(format_args!("{error}")))
}

/// Writes to every free page, so that the resident memory of QEMU changes only by what is plugged.
fn touch_free_memory() {
    let mut blocks = BlockList::new(X86_64::MAX_ORDER);
    while blocks.grow(AllocRequest::movable()) {}
    blocks.blocks().for_each(|pfn| mapping::touch(X86_64::MAX_ORDER.block(pfn)));
    drop(blocks);
    allocator().drain_all();
}

fn report_numbers(driver: &Driver) {
    let outcome = &driver.outcome;
    report::stats([
        (stat::SHORT_RESIZES, outcome.short_resizes.into()),
        (stat::BLOCKS_PLUGGED, outcome.blocks_plugged.into()),
        (stat::BLOCKS_UNPLUGGED, outcome.blocks_unplugged.into()),
        (stat::DIMMS_INSERTED, outcome.dimms_inserted.into()),
        (stat::DIMMS_REMOVED, outcome.dimms_removed.into()),
        (stat::DIMMS_REFUSED, outcome.dimms_refused.into()),
        (stat::BLOCKS_REFUSED, outcome.refusals.all()),
    ]);
    load::report_counters();
    outcome.latency.report();
}

/// Reports what did not hold. The first audit that found drift has reported it already.
fn judge(driver: &Driver, managed: usize) -> Verdict {
    let mut judge = Judge::new();
    load::judge(&mut judge);
    let left = allocator().managed_count() - managed;
    let expected = (driver.window.plugged() - driver.window.record_blocks()) * window::BLOCK;
    if left != expected {
        judge.broken(format_args!("{left} pages of the window are managed at the end, not {expected}"));
    }
    if driver.outcome.pin_was_named == Some(false) {
        judge.broken(format_args!("a pinned page was in the way, and no refusal names it"));
    }
    for violation in &driver.outcome.violations {
        judge.broken(format_args!("{violation}"));
    }
    judge.verdict()
}
