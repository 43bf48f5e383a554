//! Contiguous allocation out of the CMA area: what is taken is whole, what was there moved, and the
//! counts are right at every moment.
//!
//! Neighbours: [`space`](super::space) for migration page by page; the `cma` scenario for all of it
//! at once, under load.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use heapless::Vec;
use pageblock::{
    AllocRequest, CmaArea, CmaError, ContigError, FreeError, Migrate, MigrateError, Move, NoMigration, Order,
    Pfn, PfnRange,
};

use super::space::{check_settled, settled_free_count};
use crate::jobs::block_list::BlockList;
use crate::jobs::executor::{self, TaskRef};
use crate::jobs::{Job, Plan, Progress, Task, interrupts, page_cache};
use crate::memory::{self, allocator};
use crate::space::contents::{self, Contents, Key};
use crate::space::frame::words;
use crate::space::{AddressSpace, Migration, VPage, pages};
use crate::sync::Lock;
use crate::testing::{Outcome, Stop, cases, check, check_eq, skip};
use crate::{smp, time};

cases!(Plain:
    a_chunk_lies_in_the_area_and_comes_back,
    odd_lengths_and_alignments_are_served,
    the_free_count_falls_by_the_chunk_and_rises_again,
    empty_and_oversized_requests_are_refused,
    what_was_not_handed_out_cannot_be_released,
    single_pages_of_a_chunk_cannot_be_freed_behind_the_area,
    a_full_area_says_so_and_recovers,
    only_movable_memory_uses_the_area,
    mapped_pages_move_out_of_the_way_intact,
    counts_are_exact_in_every_phase,
    a_pinned_page_fails_the_allocation_and_nothing_else,
    a_failed_allocation_names_a_frame_in_the_way,
    without_memory_to_move_to_nothing_is_lost,
    all_cpus_take_chunks_of_the_same_pageblocks_at_once,
    interrupts_allocate_during_contiguous_allocation,
    file_pages_are_dropped_on_demand,
    jobs_give_everything_back,
);

const CHUNK: usize = 2048;

fn area() -> Result<&'static CmaArea<'static>, Stop> {
    memory::cma().ok_or_else(|| skip(format_args!("no CMA area in this boot")))
}

fn take(area: &CmaArea<'static>, pages: usize) -> Result<PfnRange, CmaError> {
    area.alloc(allocator(), pages, Order::ZERO, &Migration::new())
}

/// Takes blocks like `request` as long as there are any and `more` says so.
fn collect(request: AllocRequest, order: Order, more: impl Fn() -> bool) -> BlockList {
    let mut list = BlockList::new(order);
    while more() && list.grow(request) {}
    list
}

/// Takes unmovable memory until fewer than `left` pages outside the area are free.
fn fill_outside(left: usize) -> BlockList {
    collect(AllocRequest::unmovable(), Order::new(8), || {
        allocator().free_count().saturating_sub(allocator().free_cma_count()) > left
    })
}

/// A space with so many pages, all written, most of them in the area; and what keeps the rest full.
fn space_in_area(count: u32) -> Result<(AddressSpace, BlockList), Stop> {
    let pressure = fill_outside(allocator().free_cma_count() / 2);
    let space = AddressSpace::new()?;
    let active = space.activate();
    for page in VPage::new(0).until(VPage::new(count)) {
        space.map(page, Order::ZERO)?;
        active.write(page)?;
    }
    drop(active);
    Ok((space, pressure))
}

fn count_in(space: &AddressSpace, count: u32, range: PfnRange) -> usize {
    let pages = VPage::new(0).until(VPage::new(count));
    pages.filter(|&page| range.contains(space.entry(page).pfn())).count()
}

fn all_intact(space: &AddressSpace, count: u32) -> Outcome {
    let active = space.activate();
    for page in VPage::new(0).until(VPage::new(count)) {
        check(active.check(page)? == Contents::Intact, format_args!("{page:?} is corrupted"))?;
    }
    Ok(())
}

fn a_chunk_lies_in_the_area_and_comes_back() -> Outcome {
    let area = area()?;
    let before = settled_free_count();
    let chunk = take(area, CHUNK)?;
    check_eq(chunk.len(), CHUNK)?;
    check(area.range().covers(chunk), format_args!("{chunk} is not in {}", area.range()))?;
    area.free(allocator(), chunk)?;
    check_settled(before)
}

fn odd_lengths_and_alignments_are_served() -> Outcome {
    let area = area()?;
    let before = settled_free_count();
    for (pages, align) in [(1, 0), (3, 2), (777, 4), (512, 9), (1025, 10), (5, 0), (2049, 3)] {
        let align = Order::new(align);
        let chunk = area.alloc(allocator(), pages, align, &Migration::new())?;
        check_eq(chunk.len(), pages)?;
        check(align.is_aligned(chunk.start()), format_args!("{chunk} is not aligned to {align}"))?;
        let other = take(area, pages)?;
        check(!other.overlaps(chunk), format_args!("{other} overlaps {chunk}"))?;
        area.free(allocator(), chunk)?;
        area.free(allocator(), other)?;
    }
    check_settled(before)
}

fn the_free_count_falls_by_the_chunk_and_rises_again() -> Outcome {
    let area = area()?;
    let before = (settled_free_count(), allocator().free_cma_count());
    let chunk = take(area, CHUNK)?;
    let during = (settled_free_count(), allocator().free_cma_count());
    check_eq(during, (before.0 - CHUNK, before.1 - CHUNK))?;
    area.free(allocator(), chunk)?;
    check_eq((settled_free_count(), allocator().free_cma_count()), before)
}

fn empty_and_oversized_requests_are_refused() -> Outcome {
    let area = area()?;
    let before = settled_free_count();
    check_eq(take(area, 0), Err(CmaError::Empty))?;
    let pages = area.range().len() + 1;
    check_eq(take(area, pages), Err(CmaError::Full { pages, longest: area.range().len() }))?;
    check_settled(before)
}

fn what_was_not_handed_out_cannot_be_released() -> Outcome {
    let area = area()?;
    let before = settled_free_count();
    let chunk = take(area, 100)?;
    let too_long = PfnRange::with_len(chunk.start(), 101);
    check_eq(area.free(allocator(), too_long), Err(CmaError::NotOurs { range: too_long }))?;
    area.free(allocator(), chunk)?;
    check_eq(area.free(allocator(), chunk), Err(CmaError::NotOurs { range: chunk }))?;
    let foreign = PfnRange::with_len(Pfn::new(0x1000), 1);
    check_eq(area.free(allocator(), foreign), Err(CmaError::NotOurs { range: foreign }))?;
    check_settled(before)
}

fn single_pages_of_a_chunk_cannot_be_freed_behind_the_area() -> Outcome {
    let area = area()?;
    let before = settled_free_count();
    let chunk = take(area, 64)?;
    let pfn = chunk.start();
    check_eq(allocator().free_pages(pfn, Order::ZERO), Err(FreeError::Contig { pfn }))?;
    area.free(allocator(), chunk)?;
    check_settled(before)
}

fn a_full_area_says_so_and_recovers() -> Outcome {
    let area = area()?;
    let before = settled_free_count();
    let mut chunks = Vec::<PfnRange, 512>::new();
    let error = loop {
        match take(area, CHUNK) {
            Ok(chunk) => check(chunks.push(chunk).is_ok(), format_args!("more than 512 chunks"))?,
            Err(error) => break error,
        }
    };
    check(matches!(error, CmaError::Full { .. }), format_args!("{error}"))?;
    check_eq(chunks.len(), area.range().len() / CHUNK)?;
    let middle = chunks.swap_remove(chunks.len() / 2);
    area.free(allocator(), middle)?;
    check_eq(take(area, CHUNK), Ok(middle))?;
    area.free(allocator(), middle)?;
    for chunk in chunks {
        area.free(allocator(), chunk)?;
    }
    check_settled(before)
}

fn only_movable_memory_uses_the_area() -> Outcome {
    let area = area()?;
    let before = settled_free_count();
    let large = fill_outside(0);
    for request in [AllocRequest::unmovable(), AllocRequest::reclaimable()] {
        let small = collect(request, Order::ZERO, || true);
        let inside = large.blocks().chain(small.blocks()).find(|&pfn| area.range().contains(pfn));
        check(inside.is_none(), format_args!("{inside:?} lies in the area"))?;
        check(allocator().free_cma_count() > CHUNK, format_args!("the area is used up"))?;
    }
    // What was just freed outside may be cached for this CPU as movable, on machines whose memory
    // is in small pieces.
    allocator().drain_all();
    let movable = pages::allocate(AllocRequest::movable())?;
    pages::free(movable, Order::ZERO);
    check(area.range().contains(movable), format_args!("{movable} does not lie in the area"))?;
    drop(large);
    check_settled(before)
}

fn mapped_pages_move_out_of_the_way_intact() -> Outcome {
    const PAGES: u32 = 3000;
    let area = area()?;
    let before = settled_free_count();
    let (space, pressure) = space_in_area(PAGES)?;
    let there = count_in(&space, PAGES, area.range());
    check(there > 1000, format_args!("only {there} pages lie in the area"))?;
    let mut chunks = Vec::<PfnRange, 512>::new();
    while let Ok(chunk) = take(area, CHUNK) {
        for pfn in chunk.iter() {
            Key::new(0x7a6e, pfn.number() as u64, 0).fill(words(pfn));
        }
        check(chunks.push(chunk).is_ok(), format_args!("more than 512 chunks"))?;
    }
    check_eq(chunks.len(), area.range().len() / CHUNK)?;
    check_eq(count_in(&space, PAGES, area.range()), 0)?;
    all_intact(&space, PAGES)?;
    for chunk in chunks {
        area.free(allocator(), chunk)?;
    }
    drop((space, pressure));
    check_settled(before)
}

/// Migrates, and audits before and after each page and between the phases.
struct Watched {
    migration: Migration,
    audits: AtomicUsize,
    wrong: AtomicUsize,
}

impl Watched {
    fn audit(&self) {
        self.audits.fetch_add(1, Ordering::Relaxed);
        self.wrong.fetch_add(usize::from(!allocator().audit().is_exact()), Ordering::Relaxed);
    }
}

impl Migrate for Watched {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        self.audit();
        let outcome = self.migration.migrate(page);
        self.audit();
        outcome
    }

    fn yield_now(&self) {
        self.audit();
    }
}

fn counts_are_exact_in_every_phase() -> Outcome {
    let area = area()?;
    let before = settled_free_count();
    let (space, pressure) = space_in_area(300)?;
    let there = (0..300).map(|page| space.entry(VPage::new(page)).pfn());
    let first = there.filter(|&pfn| area.range().contains(pfn)).min();
    let Some(first) = first else { return Err(skip(format_args!("no page lies in the area"))) };
    let watched =
        Watched { migration: Migration::new(), audits: AtomicUsize::new(0), wrong: AtomicUsize::new(0) };
    let range = PfnRange::with_len(first, 64);
    let taken = allocator().alloc_contig(range, &watched, pageblock::ContigOptions::default())?;
    watched.audit();
    drop(taken);
    watched.audit();
    check_eq(watched.wrong.into_inner(), 0)?;
    let audits = watched.audits.into_inner();
    check(audits >= 6, format_args!("only {audits} audits"))?;
    all_intact(&space, 300)?;
    drop((space, pressure));
    check_settled(before)
}

fn a_pinned_page_fails_the_allocation_and_nothing_else() -> Outcome {
    const PAGES: u32 = 400;
    let area = area()?;
    let before = settled_free_count();
    let (space, pressure) = space_in_area(PAGES)?;
    let frames = |space: &AddressSpace| {
        let mut frames = Vec::<Pfn, { PAGES as usize }>::new();
        frames.extend((0..PAGES).map(|page| space.entry(VPage::new(page)).pfn()));
        frames
    };
    let were = frames(&space);
    let whole = area.range().len();
    let result = area.alloc(allocator(), whole, Order::ZERO, &NoMigration);
    check(matches!(result, Err(CmaError::Busy(_))), format_args!("{result:?}"))?;
    check(frames(&space) == were, format_args!("pages moved although they were pinned"))?;
    all_intact(&space, PAGES)?;
    drop((space, pressure));
    check_settled(before)
}

fn a_failed_allocation_names_a_frame_in_the_way() -> Outcome {
    let area = area()?;
    let (space, _pressure) = space_in_area(50)?;
    let pfn = (0..50).map(|page| space.entry(VPage::new(page)).pfn()).find(|&pfn| area.range().contains(pfn));
    let Some(pfn) = pfn else { return Err(skip(format_args!("no page lies in the area"))) };
    let range = PfnRange::with_len(pfn, 1);
    let options = pageblock::ContigOptions::default().attempts(3);
    match allocator().alloc_contig(range, &NoMigration, options) {
        Err(ContigError::Busy { pfn: named, attempts, .. }) => check_eq((named, attempts), (pfn, 3)),
        other => check(false, format_args!("{other:?}")),
    }
}

fn without_memory_to_move_to_nothing_is_lost() -> Outcome {
    const PAGES: u32 = 500;
    let area = area()?;
    let before = settled_free_count();
    let (space, pressure) = space_in_area(PAGES)?;
    let large = collect(AllocRequest::movable(), Order::new(8), || true);
    let small = collect(AllocRequest::movable(), Order::ZERO, || true);
    // These blocks have no owner word, so that they cannot be moved either.
    let result = take(area, area.range().len());
    check(matches!(result, Err(CmaError::Busy(_))), format_args!("{result:?}"))?;
    all_intact(&space, PAGES)?;
    drop((large, small, space, pressure));
    check_settled(before)
}

fn all_cpus_take_chunks_of_the_same_pageblocks_at_once() -> Outcome {
    const ROUNDS: usize = 40;
    let area = area()?;
    let before = settled_free_count();
    let (taken, failed, corrupted) = (AtomicUsize::new(0), AtomicUsize::new(0), contents::corrupted());
    smp::run_on_all(|cpu| {
        for round in 0..ROUNDS {
            let Ok(chunk) = take(area, 50 + 37 * (round % 7)) else {
                failed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let key = |pfn: Pfn| Key::new(0xc0 + cpu.number() as u64, pfn.number() as u64, round as u64);
            chunk.iter().for_each(|pfn| key(pfn).fill(words(pfn)));
            for pfn in chunk.iter() {
                // Counted, and compared below.
                let _ = key(pfn).check(words(pfn));
            }
            match area.free(allocator(), chunk) {
                Ok(()) => taken.fetch_add(1, Ordering::Relaxed),
                Err(_) => failed.fetch_add(1, Ordering::Relaxed),
            };
        }
    });
    check_eq(failed.into_inner(), 0)?;
    check_eq(taken.into_inner(), ROUNDS * smp::cpu_count())?;
    check_eq(contents::corrupted(), corrupted)?;
    check_settled(before)
}

fn interrupts_allocate_during_contiguous_allocation() -> Outcome {
    let area = area()?;
    let before = settled_free_count();
    let operations = interrupts::operations();
    interrupts::start();
    let mut inexact = 0;
    for _ in 0..12 {
        let chunk = take(area, CHUNK)?;
        time::wait_us(5_000);
        inexact += u32::from(!allocator().audit().is_exact());
        area.free(allocator(), chunk)?;
    }
    interrupts::stop();
    check_eq(inexact, 0)?;
    let operations = interrupts::operations() - operations;
    check(operations > 0, format_args!("no interrupt allocated"))?;
    check_settled(before)
}

fn file_pages_are_dropped_on_demand() -> Outcome {
    let before = settled_free_count();
    let corrupted = contents::corrupted();
    for page in 0..1000 {
        page_cache::read(page)?;
    }
    check_eq(settled_free_count(), before - 1000)?;
    for page in 0..1000 {
        page_cache::read(page)?;
    }
    check_eq(contents::corrupted(), corrupted)?;
    check_eq(page_cache::shrink(300), 300)?;
    check_eq(settled_free_count(), before - 700)?;
    check_eq(page_cache::shrink(usize::MAX), 700)?;
    check_settled(before)
}

/// Ends the jobs after a while.
struct Stopper {
    at_us: u64,
}

impl Task for Stopper {
    fn step(&mut self) -> Progress {
        if time::now_us() < self.at_us {
            return Progress::Again;
        }
        Job::stop_all();
        Progress::Done
    }
}

fn jobs_give_everything_back() -> Outcome {
    static JOBS: [Lock<Option<Job>>; 6] = [const { Lock::new(None) }; 6];
    static STOPPER: Lock<Stopper> = Lock::new(Stopper { at_us: 0 });
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let before = settled_free_count();
    let (corrupted, checked) = (contents::corrupted(), contents::checked());
    // A tenth of the memory, so that jobs live through all their phases within the time.
    let plan = Plan::new(7 + RUNS.fetch_add(1, Ordering::Relaxed), JOBS.len(), before / 10, 0);
    for (number, job) in JOBS.iter().enumerate() {
        *job.lock() = Some(Job::new(number, plan));
    }
    STOPPER.lock().at_us = time::now_us() + 700_000;
    Job::start_all();
    executor::run(JOBS.iter().map(|job| job as TaskRef).chain([&STOPPER as TaskRef]));
    while page_cache::shrink(usize::MAX) > 0 {}
    check_eq(contents::corrupted(), corrupted)?;
    check(contents::checked() > checked, format_args!("no page was checked"))?;
    check_settled(before)
}
