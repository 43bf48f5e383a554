//! Address spaces: what is mapped holds what was written, stays intact through migration, and is
//! given back to the last page.
//!
//! All contents are checked at the addresses where they are mapped, with the space's own tables
//! active. Neighbour: [`cma`](super::cma), where migration makes room for contiguous allocations.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pageblock::{ContigOptions, Order, Pfn, PfnRange};

use crate::memory::allocator;
use crate::space::contents::{Contents, Key};
use crate::space::frame::words;
use crate::space::{Active, AddressSpace, EntryState, Migration, SpaceError, VPage, pages_migrated};
use crate::testing::{Outcome, cases, check, check_eq};
use crate::{smp, time};

cases!(Plain:
    pages_hold_what_was_written,
    rewriting_a_page_replaces_its_contents,
    equal_addresses_in_two_spaces_are_different_pages,
    foreign_writes_to_a_frame_are_noticed,
    pages_far_apart_get_tables_of_their_own,
    mapping_twice_is_refused,
    misplaced_blocks_are_refused,
    what_is_not_mapped_cannot_be_used,
    unmapping_gives_back_every_page,
    dropping_a_space_gives_back_pages_and_tables,
    blocks_are_unmapped_as_a_whole,
    spaces_run_out_of_slots_and_come_back,
    migration_moves_a_page_and_keeps_its_contents,
    migration_moves_a_block_as_a_whole,
    readers_on_other_cpus_never_see_a_stale_frame,
    writes_during_migration_are_not_lost,
    frees_during_migration_lose_nothing,
    exits_during_migration_lose_nothing,
);

/// Free pages, with nothing left on any pcplist.
pub(super) fn settled_free_count() -> usize {
    allocator().drain_all();
    allocator().free_count()
}

/// Nothing is lost since there were `before` free pages, and every invariant holds.
pub(super) fn check_settled(before: usize) -> Outcome {
    check_eq(settled_free_count(), before)?;
    allocator().verify()?;
    Ok(())
}

fn first(pages: u32) -> impl Iterator<Item = VPage> {
    VPage::new(0).until(VPage::new(pages))
}

/// A space with `pages` written pages from the first one on.
pub(super) fn written_space(pages: u32) -> Result<AddressSpace, SpaceError> {
    let space = AddressSpace::new()?;
    let active = space.activate();
    for page in first(pages) {
        space.map(page, Order::ZERO)?;
        active.write(page)?;
    }
    drop(active);
    Ok(space)
}

fn intact(active: &Active<'_>, page: VPage) -> Outcome {
    check(active.check(page)? == Contents::Intact, format_args!("{page:?} is corrupted"))
}

pub(super) fn all_intact(space: &AddressSpace, pages: u32) -> Outcome {
    let active = space.activate();
    first(pages).try_for_each(|page| intact(&active, page))
}

/// Takes the frame of `page` as a contiguous range, which moves the block; overwrites it, so that
/// nobody can go on reading there unnoticed; and gives it back. Says whether it moved.
fn evict(space: &AddressSpace, page: VPage) -> bool {
    let entry = space.entry(page);
    entry.state() != EntryState::Empty && take(PfnRange::with_len(entry.pfn(), 1))
}

/// Takes a range of frames from their owners, overwrites it and gives it back. Says whether it
/// could.
fn take(range: PfnRange) -> bool {
    let migration = Migration::new();
    let Ok(taken) = allocator().alloc_contig(range, &migration, ContigOptions::default()) else {
        return false;
    };
    for pfn in range.iter() {
        Key::new(0xe71c, pfn.number() as u64, 0).fill(words(pfn));
    }
    drop(taken);
    true
}

/// Evicts pages of `space` in turn, 400 times unless that takes too long, and says how often one
/// moved.
fn evict_in_turn(space: &AddressSpace, pages: u32) -> u64 {
    let end = time::now_us() + 3_000_000;
    let turns = (0..400).take_while(|_| time::now_us() < end);
    turns.map(|turn| u64::from(evict(space, VPage::new(turn % pages)))).sum()
}

fn pages_hold_what_was_written() -> Outcome {
    all_intact(&written_space(600)?, 600)
}

fn rewriting_a_page_replaces_its_contents() -> Outcome {
    let space = written_space(1)?;
    let active = space.activate();
    let page = VPage::new(0);
    let before = space.entry(page).version();
    for _ in 0..300 {
        active.write(page)?;
        intact(&active, page)?;
    }
    check(space.entry(page).version() != before, format_args!("300 writes are {before} too"))
}

fn equal_addresses_in_two_spaces_are_different_pages() -> Outcome {
    let (one, other) = (written_space(32)?, written_space(32)?);
    for space in [&one, &other, &one] {
        all_intact(space, 32)?;
    }
    let [a, b] = [&one, &other].map(|space| space.entry(VPage::new(7)).pfn());
    check(a != b, format_args!("both map {a}"))
}

fn foreign_writes_to_a_frame_are_noticed() -> Outcome {
    let space = written_space(1)?;
    let page = VPage::new(0);
    let active = space.activate();
    words(space.entry(page).pfn())[511].fetch_xor(1 << 63, Ordering::Relaxed);
    check_eq(active.check(page), Ok(Contents::Corrupted))
}

fn pages_far_apart_get_tables_of_their_own() -> Outcome {
    let before = settled_free_count();
    let space = AddressSpace::new()?;
    let active = space.activate();
    let places = [0, 511, 512, 1 << 18, (1 << 27) - 1].map(VPage::new);
    for page in places {
        space.map(page, Order::ZERO)?;
        active.write(page)?;
    }
    places.into_iter().try_for_each(|page| intact(&active, page))?;
    drop(active);
    drop(space);
    check_settled(before)
}

fn mapping_twice_is_refused() -> Outcome {
    let space = written_space(4)?;
    let (page, pair) = (VPage::new(2), VPage::new(0));
    check_eq(space.map(page, Order::ZERO), Err(SpaceError::Occupied(page)))?;
    check_eq(space.map(pair, Order::new(1)), Err(SpaceError::Occupied(pair)))?;
    all_intact(&space, 4)
}

fn misplaced_blocks_are_refused() -> Outcome {
    let space = written_space(0)?;
    let (odd, even) = (VPage::new(3), VPage::new(0));
    let (pair, huge) = (Order::new(1), Order::new(8));
    check_eq(space.map(odd, pair), Err(SpaceError::Misplaced(odd, pair)))?;
    check_eq(space.map(even, huge), Err(SpaceError::Misplaced(even, huge)))
}

fn what_is_not_mapped_cannot_be_used() -> Outcome {
    let space = written_space(1)?;
    let page = VPage::new(9);
    let active = space.activate();
    check_eq(active.check(page), Err(SpaceError::NotMapped(page)))?;
    check_eq(active.write(page), Err(SpaceError::NotMapped(page)))?;
    check_eq(space.unmap(page), Err(SpaceError::NotMapped(page)))
}

fn unmapping_gives_back_every_page() -> Outcome {
    let before = settled_free_count();
    let space = written_space(500)?;
    for page in first(500) {
        check_eq(space.unmap(page), Ok(Order::ZERO))?;
    }
    drop(space);
    check_settled(before)
}

fn dropping_a_space_gives_back_pages_and_tables() -> Outcome {
    let before = settled_free_count();
    let space = written_space(700)?;
    for order in 1..=3 {
        space.map(VPage::new(1024 << order), Order::new(order))?;
    }
    drop(space);
    check_settled(before)
}

fn blocks_are_unmapped_as_a_whole() -> Outcome {
    let space = AddressSpace::new()?;
    let (order, head) = (Order::new(3), VPage::new(8));
    space.map(head, order)?;
    check_eq(space.unmap(VPage::new(13)), Ok(order))?;
    head.block(order).try_for_each(|page| check_eq(space.entry(page).state(), EntryState::Empty))
}

fn spaces_run_out_of_slots_and_come_back() -> Outcome {
    let before = settled_free_count();
    let mut spaces = heapless::Vec::<AddressSpace, 256>::new();
    let error = loop {
        match AddressSpace::new() {
            Ok(space) => check(spaces.push(space).is_ok(), format_args!("more than 256 slots"))?,
            Err(error) => break error,
        }
    };
    check_eq(error, SpaceError::NoSlot)?;
    spaces.pop();
    drop(AddressSpace::new()?);
    drop(spaces);
    check_settled(before)
}

fn migration_moves_a_page_and_keeps_its_contents() -> Outcome {
    let space = written_space(64)?;
    let active = space.activate();
    let migrated = pages_migrated();
    for page in first(64) {
        let before = space.entry(page);
        check(evict(&space, page), format_args!("{page:?} did not move"))?;
        let after = space.entry(page);
        check(after.pfn() != before.pfn(), format_args!("{page:?} is where it was"))?;
        check_eq(after.version(), before.version())?;
        intact(&active, page)?;
    }
    check_eq(pages_migrated() - migrated, 64)
}

fn migration_moves_a_block_as_a_whole() -> Outcome {
    let space = AddressSpace::new()?;
    let (order, head) = (Order::new(3), VPage::new(16));
    let from = space.map(head, order)?;
    let active = space.activate();
    head.block(order).try_for_each(|page| active.write(page))?;
    check(evict(&space, VPage::new(21)), format_args!("the block did not move"))?;
    let to = space.entry(head).pfn();
    check(!order.block(from).contains(to), format_args!("it moved from {from} to {to}"))?;
    for (page, pfn) in head.block(order).zip(order.block(to).iter()) {
        check_eq(space.entry(page).pfn(), pfn)?;
        intact(&active, page)?;
    }
    Ok(())
}

/// Evicts pages of `space` on this CPU while all others keep doing `work` with it active.
fn evict_during(
    space: &AddressSpace,
    pages: u32,
    work: impl Fn(&Active<'_>) -> Outcome + Sync,
) -> Result<u64, crate::testing::Stop> {
    let (moved, failure) = (AtomicU64::new(0), spin::Mutex::new(None));
    let done = AtomicBool::new(false);
    smp::run_on_all(|cpu| {
        if cpu == pageblock::CpuId::BOOT {
            moved.store(evict_in_turn(space, pages), Ordering::Relaxed);
            done.store(true, Ordering::Release);
            return;
        }
        let active = space.activate();
        while !done.load(Ordering::Acquire) {
            if let Err(stop) = work(&active) {
                failure.lock().get_or_insert(stop);
            }
        }
    });
    match failure.into_inner() {
        Some(stop) => Err(stop),
        None => Ok(moved.into_inner()),
    }
}

fn readers_on_other_cpus_never_see_a_stale_frame() -> Outcome {
    let space = written_space(16)?;
    let moved = evict_during(&space, 16, |active| first(16).try_for_each(|page| intact(active, page)))?;
    check(moved >= 20, format_args!("only {moved} migrations"))?;
    all_intact(&space, 16)
}

fn writes_during_migration_are_not_lost() -> Outcome {
    let space = written_space(8)?;
    // One writer; what the others did would hide what it lost.
    let moved = evict_during(&space, 8, |active| {
        if smp::current().number() != 1 {
            return Ok(());
        }
        first(8).try_for_each(|page| {
            intact(active, page)?;
            Ok(active.write(page)?)
        })
    })?;
    check(moved >= 20, format_args!("only {moved} migrations"))?;
    all_intact(&space, 8)
}

fn frees_during_migration_lose_nothing() -> Outcome {
    let before = settled_free_count();
    let space = written_space(8)?;
    evict_during(&space, 8, |active| {
        if smp::current().number() != 1 {
            return Ok(());
        }
        first(8).try_for_each(|page| {
            intact(active, page)?;
            check_eq(space.unmap(page), Ok(Order::ZERO))?;
            space.map(page, Order::ZERO)?;
            Ok(active.write(page)?)
        })
    })?;
    drop(space);
    check_settled(before)
}

fn exits_during_migration_lose_nothing() -> Outcome {
    let before = settled_free_count();
    let done = AtomicBool::new(false);
    let target = AtomicU64::new(0);
    let corrupted = crate::space::contents::corrupted();
    smp::run_on_all(|cpu| match cpu.number() {
        0 => {
            let end = time::now_us() + 3_000_000;
            let lives = (0..150).take_while(|_| time::now_us() < end);
            for space in lives.map_while(|_| written_space(12).ok()) {
                let middle = space.entry(VPage::new(6)).pfn().number();
                target.store(middle as u64, Ordering::Release);
                // Counted, and compared below.
                let _ = all_intact(&space, 12);
            }
            done.store(true, Ordering::Release);
        }
        1 => {
            while !done.load(Ordering::Acquire) {
                // Whatever comes of it: the frames may be anybody's by now.
                take(PfnRange::with_len(Pfn::new(target.load(Ordering::Acquire) as usize), 4));
            }
        }
        _ => {}
    });
    check_eq(crate::space::contents::corrupted(), corrupted)?;
    check_settled(before)
}
