//! Each CPU takes pages of pageblocks of its own, so that CPUs write frame states in different
//! cache lines; and that costs no more whole pageblocks than it may.

use std::collections::HashSet;

use pageblock::{AllocRequest, Order, Pfn, PfnRange};

use crate::support::{Machine, Threads, cma_area, fill, mebibytes};

/// Frame states in a cache line.
const LINE: usize = 16;
const PAGEBLOCK: usize = 512;

/// The numbers of the xorshift64 generator.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

fn machine(cpus: usize) -> Machine {
    mebibytes(1024).cpus(cpus).no_reserve().build()
}

fn take_as(machine: &Machine, request: AllocRequest, pages: usize) -> Vec<Pfn> {
    (0..pages).map(|_| machine.alloc_pages(request).unwrap()).collect()
}

fn take(machine: &Machine, pages: usize) -> Vec<Pfn> {
    take_as(machine, AllocRequest::movable(), pages)
}

fn free(machine: &Machine, pages: impl IntoIterator<Item = Pfn>) {
    pages.into_iter().for_each(|page| machine.free_pages(page, Order::ZERO).unwrap());
}

/// Frees half of the pages, chosen at random.
fn free_half(machine: &Machine, pages: &mut Vec<Pfn>, numbers: &mut Numbers) {
    for left in (pages.len() / 2..pages.len()).rev() {
        free(machine, [pages.swap_remove(numbers.below(left + 1))]);
    }
}

/// Each CPU takes pages up to `most`, then frees a random half, `rounds` times; all in turns of
/// random lengths. Returns the pages of each.
fn age(machine: &Machine, cpus: usize, most: usize, rounds: usize) -> Vec<Vec<Pfn>> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut held = vec![Vec::new(); cpus];
    for round in 0..2 * rounds {
        let aim = if round % 2 == 0 { most } else { most / 2 };
        while held.iter().any(|pages: &Vec<Pfn>| pages.len() != aim) {
            let cpu = numbers.below(cpus);
            let pages = &mut held[cpu];
            Threads::become_cpu(cpu);
            let turn = (1 + numbers.below(128)).min(pages.len().abs_diff(aim));
            if pages.len() < aim {
                pages.extend(take(machine, turn));
            } else {
                let mut freed = || pages.swap_remove(numbers.below(pages.len()));
                (0..turn).for_each(|_| free(machine, [freed()]));
            }
        }
    }
    Threads::become_cpu(0);
    held
}

/// The units of `size` frames that have pages of these.
fn units(pages: &[Pfn], size: usize) -> HashSet<usize> {
    pages.iter().map(|page| page.number() / size).collect()
}

/// How many units of `size` frames have pages of both bursts of 1024, one on each CPU.
fn shared_by_bursts(machine: &Machine, cpus: [usize; 2], size: usize) -> usize {
    let bursts = cpus.map(|cpu| {
        Threads::become_cpu(cpu);
        take(machine, 1024)
    });
    let [one, other] = bursts.each_ref().map(|burst| units(burst, size));
    for (cpu, burst) in cpus.into_iter().zip(bursts) {
        Threads::become_cpu(cpu);
        free(machine, burst);
    }
    Threads::become_cpu(0);
    one.intersection(&other).count()
}

#[test]
fn cpus_that_have_aged_memory_together_share_nearly_no_line_of_frame_states() {
    for rounds in [1, 2, 6] {
        let machine = machine(2);
        let held = age(&machine, 2, 32_768, rounds);
        let [one, other] = [0, 1].map(|cpu| units(&held[cpu], PAGEBLOCK));
        assert!(one.len() + other.len() < 140, "{rounds}: more pageblocks than the pages need");
        for _ in 0..3 {
            let lines = shared_by_bursts(&machine, [0, 1], LINE);
            assert!(lines <= 4, "{rounds} rounds: {lines} lines");
        }
        machine.verify().unwrap();
    }
}

#[test]
fn cpus_take_turns_with_unmovable_pages_of_different_pageblocks() {
    let machine = machine(2);
    let mut held = [const { Vec::new() }; 2];
    for turn in 0..200 {
        Threads::become_cpu(turn % 2);
        held[turn % 2].extend(take_as(&machine, AllocRequest::unmovable(), 50));
    }
    Threads::become_cpu(0);
    let [one, other] = held.each_ref().map(|pages| units(pages, PAGEBLOCK));
    assert_eq!(one.intersection(&other).count(), 0);
    assert_eq!((one.len(), other.len()), (10, 10), "5000 pages each");
}

#[test]
fn four_cpus_share_nearly_no_line_either() {
    let machine = machine(4);
    age(&machine, 4, 16_384, 4);
    for (one, other) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
        let lines = shared_by_bursts(&machine, [one, other], LINE);
        assert!(lines <= 4, "CPUs {one} and {other}: {lines} lines");
    }
}

#[test]
fn two_cpus_that_share_their_groups_share_few_lines_either() {
    let mut lines = 0;
    for rounds in [2, 4, 8] {
        let machine = machine(8);
        age(&machine, 8, 4096, rounds);
        let pairs = (0..8).map(|cpu| [cpu, (cpu + 4) % 8]);
        lines += pairs.map(|cpus| shared_by_bursts(&machine, cpus, LINE)).sum::<usize>();
    }
    // Of 24 pairs of bursts, which have 64 lines each at least.
    assert!(lines <= 200, "{lines} lines");
}

#[test]
fn a_pageblock_that_a_cpu_has_reserved_serves_it_no_more_once_it_is_isolated_or_of_another_type() {
    let order = Order::new(9);
    for isolate in [true, false] {
        let machine = machine(2);
        // There is another pageblock that is not whole, or nothing would be chosen.
        let [page, _] = [0, 1].map(|cpu| {
            Threads::become_cpu(cpu);
            take(&machine, 1)[0]
        });
        Threads::become_cpu(0);
        machine.drain_all();
        let pageblock = PfnRange::with_len(order.align_down(page), PAGEBLOCK);
        let isolated = isolate.then(|| machine.isolate(pageblock).unwrap());
        if !isolate {
            free(&machine, [page]);
            machine.drain_all();
            cma_area(&machine, pageblock);
        }
        // Requests that may not use CMA, from whose list the pageblock was not reserved, too.
        for request in [AllocRequest::movable(), AllocRequest::unmovable()] {
            let taken = take_as(&machine, request, 3000);
            let is_spared = |page: &Pfn| !pageblock.contains(*page);
            assert!(taken.iter().all(is_spared), "{request:?}, isolated: {isolate}");
        }
        drop(isolated);
        machine.verify().unwrap();
    }
}

#[test]
fn a_cpu_takes_unmovable_pages_of_another_before_it_claims_a_movable_pageblock() {
    let machine = machine(2);
    let all = take_as(&machine, AllocRequest::unmovable(), 10 * PAGEBLOCK);
    let of_one = units(&all, PAGEBLOCK);
    free(&machine, all.into_iter().filter(|page| page.number() % 2 == 0));
    machine.drain_all();
    Threads::become_cpu(1);
    let all = take_as(&machine, AllocRequest::unmovable(), 1000);
    assert_eq!(units(&all, PAGEBLOCK).difference(&of_one).count(), 0);
    Threads::become_cpu(0);
}

/// A machine on which CPU 0 has a random half of so many pages, and CPU 1 has none.
fn aged_by_one(pages: usize) -> (Machine, Vec<Pfn>) {
    let machine = machine(2);
    let mut held = take(&machine, pages);
    free_half(&machine, &mut held, &mut Numbers(7));
    (machine, held)
}

#[test]
fn a_cpu_that_comes_later_shares_no_pageblock_for_as_many_pages_as_its_list_holds() {
    let (machine, _held) = aged_by_one(65_536);
    assert_eq!(shared_by_bursts(&machine, [0, 1], PAGEBLOCK), 0);
}

#[test]
fn a_cpu_breaks_three_whole_pageblocks_and_then_takes_free_pages_of_others() {
    let (machine, held) = aged_by_one(65_536);
    let of_one = units(&held, PAGEBLOCK);
    Threads::become_cpu(1);
    let all = take(&machine, 16_384);
    let broken = units(&all, PAGEBLOCK).difference(&of_one).count();
    assert_eq!(broken, 3);
    machine.verify().unwrap();
}

#[test]
fn a_zone_with_few_whole_pageblocks_keeps_them_whole() {
    // All but 30 of 512 pageblocks have pages of CPU 0.
    let (machine, held) = aged_by_one(482 * PAGEBLOCK);
    let of_one = units(&held, PAGEBLOCK);
    Threads::become_cpu(1);
    let all = take(&machine, 16_384);
    assert_eq!(units(&all, PAGEBLOCK).difference(&of_one).count(), 0);
}

#[test]
fn the_last_free_pages_serve_every_cpu() {
    let machine = machine(3);
    let all = fill(&machine, AllocRequest::movable());
    // No two of them are neighbours, and every pageblock is local to CPU 0.
    let (freed, kept): (Vec<Pfn>, Vec<Pfn>) = all.into_iter().partition(|page| page.number() % 2 == 0);
    free(&machine, freed.iter().copied());
    machine.drain_all();
    Threads::become_cpu(1);
    let mut again = take(&machine, freed.len() / 2);
    Threads::become_cpu(2);
    again.extend(fill(&machine, AllocRequest::movable()));
    assert_eq!(again.len(), freed.len());
    machine.verify().unwrap();
    free(&machine, again.into_iter().chain(kept));
    machine.drain_all();
    assert_eq!(machine.free_count(), machine.managed_count());
    Threads::become_cpu(0);
}
