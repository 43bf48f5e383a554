//! Memory hot-remove and hot-add with pages that are really mapped: who is there moves and keeps
//! its contents, who cannot move is named, and what fails leaves no trace.
//!
//! Ranges here are a few pageblocks; `cargo run -- hotplug` takes half of memory. Neighbour:
//! [`space`](super::space), whose pages have to move.

use core::cell::Cell;

use heapless::Vec;
use pageblock::{
    AllocRequest, ContigError, ContigOptions, FrameKind, Geometry, HotplugError, HotplugNotifier,
    IsolateError, MigrateError, Mobility, NoNotifier, Obstacle, Order, Pfn, PfnRange, Veto, X86_64,
};
use spin::Mutex;

use super::space::{all_intact, check_settled, settled_free_count, written_space};
use crate::memory::allocator;
use crate::space::{AddressSpace, Migration, VPage, pages_migrated};
use crate::testing::{Outcome, Stop, cases, check, check_eq, fail, skip};

cases!(Plain:
    mapped_pages_move_out_of_a_range_that_goes_offline,
    nobody_gets_memory_that_is_offline,
    a_veto_leaves_everything_as_it_was,
    an_unmovable_page_is_named_before_and_after,
    a_busy_page_is_named_after_so_many_attempts,
    memory_that_is_online_cannot_come_online,
);

const PAGES: u32 = 700;

/// The pageblock of that frame.
fn pageblock_of(pfn: Pfn) -> PfnRange {
    let order = X86_64::PAGEBLOCK_ORDER;
    order.block(order.align_down(pfn))
}

/// What the kernel is told, and whether it refuses.
#[derive(Default)]
struct Listener {
    refuses: bool,
    going: Cell<u32>,
    gone: Cell<u32>,
    cancelled: Cell<u32>,
}

fn count(calls: &Cell<u32>) {
    calls.set(calls.get() + 1);
}

impl HotplugNotifier for Listener {
    fn going_offline(&self, _: PfnRange) -> Result<(), Veto> {
        count(&self.going);
        if self.refuses { Err(Veto) } else { Ok(()) }
    }

    fn cancel_offline(&self, _: PfnRange) {
        count(&self.cancelled);
    }

    fn offline(&self, _: PfnRange) {
        count(&self.gone);
    }
}

/// Tries to take a range offline, and fails the case if it goes.
fn refused(range: PfnRange, listener: &Listener) -> Result<HotplugError, Stop> {
    let migration = Migration::new();
    match allocator().offline(range, &migration, listener, ContigOptions::default().attempts(3)) {
        Err(error) => Ok(error),
        Ok(_) => Err(fail(format_args!("{range} went offline"))),
    }
}

/// Whether all frames of a pageblock are managed, and of one zone.
fn is_whole(range: PfnRange) -> bool {
    allocator().offline_dry_run(range, |_| ()).is_ok()
}

/// A page of the caller's in a whole pageblock.
fn page_in_a_whole_block(request: AllocRequest) -> Result<Pfn, Stop> {
    let mut others = Vec::<Pfn, 2048>::new();
    let page = loop {
        let pfn = allocator().alloc_pages(request)?;
        if is_whole(pageblock_of(pfn)) {
            break pfn;
        }
        others.push(pfn).map_err(|_| skip(format_args!("no pageblock is whole")))?;
    };
    for pfn in others {
        allocator().free_pages(pfn, Order::ZERO)?;
    }
    Ok(page)
}

/// A whole pageblock that the space uses.
fn block_in_use(space: &AddressSpace) -> Result<PfnRange, Stop> {
    let mut blocks = (0..PAGES).map(|page| pageblock_of(space.entry(VPage::new(page)).pfn()));
    // Firmware that leaves memory in small pieces may leave no whole pageblock among the first that
    // are used.
    blocks.find(|block| is_whole(*block)).ok_or_else(|| skip(format_args!("no pageblock is whole")))
}

fn mapped_pages_move_out_of_a_range_that_goes_offline() -> Outcome {
    let before = settled_free_count();
    let (managed, moved) = (allocator().managed_count(), pages_migrated());
    let space = written_space(PAGES)?;
    // Page tables lie elsewhere: pageblocks are of one mobility, mostly.
    let range = block_in_use(&space)?;
    let mut obstacles = 0;
    let to_move = allocator().offline_dry_run(range, |_| obstacles += 1)?;
    check_eq(obstacles, 0)?;
    let listener = Listener::default();
    let migration = Migration::new();
    let (offline, stats) = allocator().offline(range, &migration, &listener, ContigOptions::default())?;
    drop(migration);
    check_eq(stats.migrated_pages, to_move)?;
    check_eq(pages_migrated() - moved, to_move as u64)?;
    check_eq((listener.going.get(), listener.gone.get(), listener.cancelled.get()), (1, 1, 0))?;
    check_eq(allocator().managed_count(), managed - range.len())?;
    all_intact(&space, PAGES)?;
    let mapped = |page| range.contains(space.entry(VPage::new(page)).pfn());
    check(!(0..PAGES).any(mapped), format_args!("a page is mapped to memory that is offline"))?;
    allocator().online(offline, &NoNotifier).map_err(|(_, error)| error)?;
    check_eq(allocator().managed_count(), managed)?;
    all_intact(&space, PAGES)?;
    drop(space);
    check_settled(before)
}

fn nobody_gets_memory_that_is_offline() -> Outcome {
    let before = settled_free_count();
    let page = page_in_a_whole_block(AllocRequest::movable())?;
    allocator().free_pages(page, Order::ZERO)?;
    let range = pageblock_of(page);
    let migration = Migration::new();
    let (offline, _) = allocator().offline(range, &migration, &NoNotifier, ContigOptions::default())?;
    let order = Order::new(3);
    // Not on the stack, which is smaller than this in a small kernel.
    static TAKEN: Mutex<Vec<Pfn, 4096>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock();
    while let Ok(pfn) = allocator().alloc_pages(AllocRequest::movable().order(order)) {
        taken.push(pfn).expect("room for one more");
        if taken.is_full() {
            break;
        }
    }
    let stray = taken.iter().find(|pfn| range.contains(**pfn)).copied();
    while let Some(pfn) = taken.pop() {
        allocator().free_pages(pfn, order)?;
    }
    check(stray.is_none(), format_args!("{stray:?} is offline and allocated"))?;
    allocator().online(offline, &NoNotifier).map_err(|(_, error)| error)?;
    check_settled(before)
}

fn a_veto_leaves_everything_as_it_was() -> Outcome {
    let before = settled_free_count();
    let managed = allocator().managed_count();
    let space = written_space(PAGES)?;
    let (used, moved) = (allocator().free_count(), pages_migrated());
    let range = block_in_use(&space)?;
    let listener = Listener { refuses: true, ..Listener::default() };
    check_eq(refused(range, &listener)?, HotplugError::Vetoed { range })?;
    check_eq((listener.going.get(), listener.gone.get(), listener.cancelled.get()), (1, 0, 0))?;
    check_eq((allocator().isolated_count(), allocator().managed_count()), (0, managed))?;
    check_eq(pages_migrated(), moved)?;
    // The isolation has drained the lists of the CPUs.
    check(allocator().free_count() >= used, format_args!("free pages are lost"))?;
    all_intact(&space, PAGES)?;
    drop(space);
    check_settled(before)
}

fn an_unmovable_page_is_named_before_and_after() -> Outcome {
    let before = settled_free_count();
    let page = page_in_a_whole_block(AllocRequest::unmovable())?;
    let range = pageblock_of(page);
    let mut named = false;
    allocator().offline_dry_run(range, |found| named |= found.pfn == page)?;
    check(named, format_args!("the dry run does not name {page}"))?;
    let listener = Listener::default();
    let error = refused(range, &listener)?;
    let HotplugError::Contig(ContigError::Isolate(IsolateError::Unmovable { pfn, reason })) = error else {
        return Err(fail(format_args!("found {error}")));
    };
    check(range.contains(pfn), format_args!("{pfn} is not in {range}"))?;
    check_eq(reason, Obstacle::Allocated(Mobility::Unmovable))?;
    check_eq(listener.going.get(), 0)?;
    check_eq(allocator().isolated_count(), 0)?;
    allocator().free_pages(page, Order::ZERO)?;
    check_settled(before)
}

fn a_busy_page_is_named_after_so_many_attempts() -> Outcome {
    let before = settled_free_count();
    // A movable page that has no owner yet: its migration is put off again and again.
    let page = page_in_a_whole_block(AllocRequest::movable())?;
    let listener = Listener::default();
    let error = refused(pageblock_of(page), &listener)?;
    let HotplugError::Contig(ContigError::Busy { pfn, reason, attempts }) = error else {
        return Err(fail(format_args!("found {error}")));
    };
    check_eq((pfn, reason), (page, Obstacle::NotMigrated(MigrateError::Busy)))?;
    check_eq(attempts, 3)?;
    check_eq((listener.going.get(), listener.gone.get(), listener.cancelled.get()), (1, 0, 1))?;
    check_eq(allocator().isolated_count(), 0)?;
    allocator().free_pages(page, Order::ZERO)?;
    check_settled(before)
}

fn memory_that_is_online_cannot_come_online() -> Outcome {
    let before = settled_free_count();
    let page = page_in_a_whole_block(AllocRequest::movable())?;
    let range = pageblock_of(page);
    match allocator().online_raw(range) {
        Err(HotplugError::NotOffline { kind, .. }) => {
            check(kind != FrameKind::Offline, format_args!("{kind}"))?
        }
        other => return Err(fail(format_args!("found {other:?}"))),
    }
    allocator().free_pages(page, Order::ZERO)?;
    check_settled(before)
}
