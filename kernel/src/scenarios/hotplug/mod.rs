//! Memory hot-remove and hot-add: half of memory goes offline and comes back while jobs use it.
//!
//! Memory is cut into blocks. Each round takes as many offline as make half of the memory, moving away
//! whoever is there, lets the jobs run on the other half for a while, and brings them back. Audits run
//! all the time; the pages' contents are the jobs' to check.
//!
//! Unmovable memory would decide which blocks can go at all. So the machine is prepared as with Linux's
//! `kernelcore=`: memory in blocks that never go offline is set aside for unmovable and reclaimable
//! pages. Nothing forces them to stay there; a block that got one all the same is reported.
//!
//! | file | what |
//! |---|---|
//! | `driver` | the rounds |
//! | `blocks` | which memory, and what became of it |
//! | `notifier` | the kernel's word in it |
//! | `outcome` | what came of it, and what did not hold |

mod blocks;
mod driver;
mod notifier;
mod outcome;

use heapless::Vec;
use pageblock::{AllocRequest, Geometry, X86_64};
use pageblock_protocol::{BootConfig, Line, Verdict, stat};

use self::blocks::Blocks;
use self::driver::Driver;
use self::outcome::{Balance, judge, report_numbers};
use super::audited::pages_in;
use super::{Refused, audit_log, load, refuse};
use crate::jobs::Plan;
use crate::jobs::executor::TaskRef;
use crate::memory::allocator;
use crate::space::lock::Lock;
use crate::space::{contents, pages};
use crate::{report, time};

/// Free pages that the jobs fill with contents at the most: more would only take longer.
const WORKED_PAGES: usize = 1 << 17;
/// Pageblocks that are set aside for unmovable pages at the most, and as many for reclaimable ones.
const CORE_BLOCKS: usize = 64;

static DRIVER: Lock<Option<Driver>> = Lock::new(None);

/// Runs the rounds.
pub(super) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let jobs = load::jobs(config)?;
    let block_pages = pages_in(config.chunk_mib);
    if block_pages == 0 || !block_pages.is_multiple_of(X86_64::PAGEBLOCK_ORDER.pages()) {
        return Err(refuse(format_args!("chunk={}: blocks consist of whole pageblocks", config.chunk_mib)));
    }
    let started = time::now_us();
    contents::set_seed(config.seed);
    audit_log::reset();
    allocator().drain_all();
    let before = Balance::now();
    let blocks = Blocks::new(block_pages);
    let removable = blocks.iter().filter(|block| block.is_removable()).count();
    let wanted = (before.managed / 2).div_ceil(block_pages).min(removable) * block_pages;
    if wanted == 0 {
        return Err(refuse(format_args!("no block of {} MiB can go offline", config.chunk_mib)));
    }
    set_core_aside(&blocks, before.managed / 16);

    // What the jobs use at the most must fit into what stays online, with room to move about.
    let room = before.free.saturating_sub(wanted).min(WORKED_PAGES);
    let plan = Plan::new(config.seed, jobs, room / 5 * 2, room / 8);
    let (warm_below, interval_us) = (before.free - room / 4, u64::from(config.interval_ms) * 1000);
    *DRIVER.lock() = Some(Driver::new(blocks, config.cycles, wanted, warm_below, interval_us));
    load::run(jobs, plan, [&DRIVER as TaskRef]);
    audit_log::audit_now();

    let Some(driver) = DRIVER.lock().take() else {
        unreachable!("nobody else takes it");
    };
    report_numbers(&driver, before, removable, wanted / block_pages);
    report::line(Line::Stat { key: stat::WALL_MS, value: ((time::now_us() - started) / 1000).cast_signed() });
    driver.blocks.report();
    Ok(judge(&driver, before))
}

/// Makes pageblocks outside of the removable blocks unmovable and reclaimable ones, up to so many pages
/// each.
fn set_core_aside(blocks: &Blocks, pages: usize) {
    let order = X86_64::PAGEBLOCK_ORDER;
    // What is isolated cannot be taken. A zone keeps track of some isolations only; then fewer are.
    let removable = blocks.iter().filter(|block| block.is_removable());
    let isolated: Vec<_, CORE_BLOCKS> =
        removable.filter_map(|block| allocator().isolate(block.range).ok()).take(CORE_BLOCKS).collect();
    let outside = allocator().free_count().saturating_sub(allocator().free_cma_count());
    let pages = pages.min(outside / 3);
    for request in [AllocRequest::unmovable(), AllocRequest::reclaimable()] {
        let mut taken = Vec::<_, CORE_BLOCKS>::new();
        while !taken.is_full() && taken.len() * order.pages() < pages {
            let Ok(pfn) = pages::allocate(request.order(order)) else { break };
            taken.push(pfn).expect("it was not full");
        }
        for pfn in taken {
            pages::free(pfn, order);
        }
    }
    drop(isolated);
    allocator().drain_all();
}
