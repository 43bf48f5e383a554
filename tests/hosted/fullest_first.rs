//! Pages come from the fullest pageblock that has any, so that churn leaves whole pageblocks free.
//!
//! Lists in last-in-first-out order fail every test here: they hand out again what was freed last,
//! wherever that is.

use std::collections::HashSet;

use pageblock::{AllocRequest, Mobility, Order, Pfn};

use crate::support::{Machine, fill, frames, mebibytes};

/// A generator of numbers that are the same in each run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        for shift in [13, -7, 17] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        (self.0 >> 11) as usize % limit
    }

    fn shuffle(&mut self, pages: &mut [Pfn]) {
        for last in (1..pages.len()).rev() {
            pages.swap(last, self.below(last + 1));
        }
    }
}

fn huge() -> AllocRequest {
    AllocRequest::movable().order(Order::new(9))
}

/// Blocks of pageblock size that can be had now. They are given back.
fn obtainable(machine: &Machine) -> usize {
    let blocks = fill(machine, huge());
    for block in &blocks {
        machine.free_pages(*block, Order::new(9)).unwrap();
    }
    blocks.len()
}

#[test]
fn churn_at_half_occupancy_leaves_nearly_every_free_pageblock_whole() {
    let machine = mebibytes(512).no_reserve().build();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut pages = fill(&machine, AllocRequest::movable());
    numbers.shuffle(&mut pages);
    for page in pages.split_off(pages.len() / 2) {
        machine.free_pages(page, Order::ZERO).unwrap();
    }
    assert_eq!(obtainable(&machine), 0, "half of the pages, at random: no pageblock is free");
    for _ in 0..100 {
        let churn = pages.len() / 10;
        numbers.shuffle(&mut pages);
        for page in pages.split_off(pages.len() - churn) {
            machine.free_pages(page, Order::ZERO).unwrap();
        }
        pages.extend((0..churn).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()));
    }
    machine.drain_all();
    let (whole, ideal) = (obtainable(&machine), machine.free_count() / 512);
    assert!(whole * 100 >= ideal * 95, "{whole} of {ideal} pageblocks are free as a whole");
    machine.verify().unwrap();
}

/// Two pageblocks in use, with these pages of each free, the second's freed last.
///
/// No pcplist has any of them.
fn holes(first: impl Fn(usize) -> bool, second: impl Fn(usize) -> bool) -> Machine {
    // A zone so small that its pcplists hold next to nothing.
    let machine = frames(&[(0, 1024)]).no_reserve().build();
    let pages: HashSet<_> = fill(&machine, AllocRequest::movable()).into_iter().map(Pfn::number).collect();
    assert_eq!(pages.len(), 1024);
    for (number, freed) in (0..512).map(|n| (n, first(n))).chain((0..512).map(|n| (512 + n, second(n)))) {
        if freed {
            machine.free_pages(Pfn::new(number), Order::ZERO).unwrap();
        }
    }
    machine.drain_all();
    machine
}

/// The pageblocks that the next so many pages come from.
fn next(machine: &Machine, order: u8, blocks: usize) -> Vec<usize> {
    let request = AllocRequest::new(Order::new(order), Mobility::Movable);
    let mut from: Vec<_> =
        (0..blocks).map(|_| machine.alloc_pages(request).unwrap().number() / 512).collect();
    from.dedup();
    from
}

#[test]
fn the_fuller_pageblock_is_used_up_before_the_emptier_one_is_touched() {
    let machine = holes(|n| n % 16 == 0, |n| n % 2 == 0);
    assert_eq!(next(&machine, 0, 32), [0]);
    assert_eq!(next(&machine, 0, 256), [1]);
    let machine = holes(|n| n % 2 == 0, |n| n % 16 == 0);
    assert_eq!(next(&machine, 0, 32), [1]);
    assert_eq!(next(&machine, 0, 256), [0]);
}

#[test]
fn a_block_comes_from_the_fullest_pageblock_that_has_one_so_large() {
    let machine = holes(|n| n % 16 == 0, |n| n % 16 < 8);
    assert_eq!(next(&machine, 3, 1), [1], "the fuller one has single pages only");
    assert_eq!(next(&machine, 0, 1), [0]);
}

#[test]
fn a_larger_block_in_a_fuller_pageblock_is_split_before_an_emptier_one_is_touched() {
    let machine = holes(|n| n < 64, |n| n % 2 == 0);
    assert_eq!(next(&machine, 0, 64), [0]);
    assert_eq!(next(&machine, 0, 1), [1]);
}
