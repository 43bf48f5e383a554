//! Memory hot-remove and hot-add: half of memory goes offline and online again while jobs use it.
//!
//! Memory is divided into blocks. Each round takes blocks offline until half of memory is, which
//! migrates the pages in them, lets the jobs run on the other half for a while, and brings the
//! blocks online. Audits are made all the time, and the jobs check the contents of their pages.
//!
//! Unmovable pages prevent a block from going offline. So the machine is prepared as with
//! `kernelcore=` of Linux: memory in blocks that never go offline is set aside for unmovable and
//! reclaimable pages. If some are allocated elsewhere, their block fails, which is reported.
//!
//! | file | what |
//! |---|---|
//! | `blocks` | the memory blocks, and the results of each |
//! | `notifier` | the hotplug notifier, which vetoes on demand |
//! | `outcome` | the results of the rounds |
//! | `driver` | the rounds |
//! | `summary` | the report at the end |

mod blocks;
mod driver;
mod notifier;
mod outcome;
mod summary;

use heapless::Vec;
use pageblock::{AllocRequest, Geometry, X86_64};
use pageblock_protocol::{BootConfig, Verdict, stat};

use crate::jobs::Plan;
use crate::jobs::executor::TaskRef;
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::scenarios::frames::pages_in;
use crate::scenarios::hotplug::blocks::Blocks;
use crate::scenarios::hotplug::driver::Driver;
use crate::scenarios::hotplug::outcome::Balance;
use crate::scenarios::hotplug::summary::{judge, report_numbers};
use crate::scenarios::load::{self, Audits};
use crate::scenarios::verdict::{Refused, refuse};
use crate::space::{contents, pages};
use crate::sync::Lock;
use crate::{report, time};

/// The most pages that the jobs use: more would only make the run longer.
const USED_BY_JOBS: usize = 1 << 17;
/// The most pageblocks that are set aside for unmovable pages, and as many for reclaimable ones.
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

    // The memory of the jobs must fit into what stays online, with room for migration.
    let room = before.free.saturating_sub(wanted).min(USED_BY_JOBS);
    let plan = Plan::new(config.seed, jobs, room / 5 * 2, room / 8);
    let (warm_below, interval_us) = (before.free - room / 4, u64::from(config.interval_ms) * 1000);
    *DRIVER.lock() = Some(Driver::new(blocks, config.cycles, wanted, warm_below, interval_us));
    load::run(jobs, plan, Audits::Exact, [&DRIVER as TaskRef]);
    audit_log::audit_now();

    let Some(driver) = DRIVER.lock().take() else {
        unreachable!("it was stored above");
    };
    report_numbers(&driver, before, removable, wanted / block_pages);
    report::stats([(stat::WALL_MS, (time::now_us() - started) / 1000)]);
    driver.blocks.report();
    Ok(judge(&driver, before))
}

/// Makes pageblocks outside removable blocks unmovable and reclaimable, `pages` pages each.
fn set_core_aside(blocks: &Blocks, pages: usize) {
    let order = X86_64::PAGEBLOCK_ORDER;
    // Removable blocks are isolated meanwhile, so that nothing is allocated from them. The number
    // of isolations in a zone is limited, so some blocks may not be.
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
