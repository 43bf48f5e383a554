//! Threads fill a small machine while another one reports free memory to a host, which discards it.
//!
//! Each frame has a word of contents. Its owner writes it, and reads it again before the free. The
//! host writes a zero into every word of a block that it has been told of, until it acknowledges.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use pageblock::{
    AllocRequest, ContigOptions, Depth, Mobility, NoMigration, Order, Pfn, PfnRange, ReportOptions,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{Threads, frames, scope};

const CPUS: usize = 3;
/// At least; and at most ten times as many, until enough has been reported.
const STEPS: usize = 20_000;
const REPORTED: usize = 20_000;
const PAGES: usize = 24 * 1024 + 100;

/// The contents of memory: a word for each frame.
struct Memory(Vec<AtomicU64>);

impl Memory {
    fn words(&self, range: PfnRange) -> &[AtomicU64] {
        &self.0[range.start().number()..range.end().number()]
    }

    fn write(&self, range: PfnRange, tag: u64) {
        self.words(range).iter().for_each(|word| word.store(tag, Ordering::Relaxed));
    }

    fn check(&self, range: PfnRange, tag: u64) {
        for (word, pfn) in self.words(range).iter().zip(range.iter()) {
            assert_eq!(word.load(Ordering::Relaxed), tag, "the contents of {pfn} are lost");
        }
    }
}

#[test]
fn no_owner_loses_what_it_wrote_while_free_memory_is_reported() {
    let machine = frames(&[(0, PAGES)]).no_reserve().cpus(CPUS + 1).build();
    let memory = Memory((0..PAGES).map(|_| AtomicU64::new(0)).collect());
    let (working, reported, refused) = (AtomicUsize::new(CPUS), AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    scope(|threads| {
        for cpu in 0..CPUS {
            let (machine, memory, working) = (&machine, &memory, &working);
            let (refused, reported) = (&refused, &reported);
            threads.spawn(move || {
                Threads::become_cpu(cpu);
                let mut random = SmallRng::seed_from_u64(cpu as u64 + 1);
                let mut own: Vec<(Pfn, Order, u64)> = Vec::new();
                let enough = |step| step >= STEPS && reported.load(Ordering::Relaxed) >= REPORTED;
                for step in (0..10 * STEPS).take_while(|step| !enough(*step)) {
                    // A wave, so that memory is full now and nearly empty then.
                    let fills = step / 1000 % 2 == 0;
                    if random.random_range(0..10) < if fills { 8 } else { 2 } {
                        let order = Order::new([0, 3, 8, 9, 10][random.random_range(0..5)]);
                        let mobility = if random.random_range(0..2) == 0 {
                            Mobility::Movable
                        } else {
                            Mobility::Unmovable
                        };
                        let depth = [Depth::Normal, Depth::Atomic][random.random_range(0..2)];
                        match machine.alloc_pages(AllocRequest::new(order, mobility).depth(depth)) {
                            Ok(pfn) => {
                                let tag = (cpu as u64 + 1) << 32 | step as u64;
                                memory.write(order.block(pfn), tag);
                                own.push((pfn, order, tag));
                            }
                            Err(_) => _ = refused.fetch_add(1, Ordering::Relaxed),
                        }
                    } else if !own.is_empty() {
                        let (pfn, order, tag) = own.swap_remove(random.random_range(0..own.len()));
                        memory.check(order.block(pfn), tag);
                        machine.free_pages(pfn, order).unwrap();
                    }
                    if step % 500 == 0 {
                        let range = PfnRange::with_len(Pfn::new(random.random_range(0..PAGES - 700)), 700);
                        if let Ok(taken) = machine.alloc_contig(range, &NoMigration, ContigOptions::default())
                        {
                            memory.write(taken.range(), u64::MAX);
                            memory.check(taken.range(), u64::MAX);
                        }
                    }
                }
                for (pfn, order, tag) in own {
                    memory.check(order.block(pfn), tag);
                    machine.free_pages(pfn, order).unwrap();
                }
                working.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let (machine, memory, working, reported, over) = (&machine, &memory, &working, &reported, &over);
        threads.spawn(move || {
            Threads::become_cpu(CPUS);
            let mut random = SmallRng::seed_from_u64(99);
            while working.load(Ordering::SeqCst) > 0 {
                let options = ReportOptions::default().blocks(1 + random.random_range(0..12));
                let Some(mut batch) = machine.report_free_pages(options).unwrap() else {
                    std::thread::yield_now();
                    continue;
                };
                let mut told = Vec::new();
                while let Some(range) = batch.hand_over() {
                    told.push(range);
                    if random.random_range(0..20) == 0 {
                        break;
                    }
                }
                told.iter().for_each(|range| memory.write(*range, 0));
                std::thread::yield_now();
                told.iter().for_each(|range| memory.check(*range, 0));
                let pages =
                    if random.random_range(0..4) == 0 { batch.refused() } else { batch.acknowledged() };
                reported.fetch_add(pages, Ordering::Relaxed);
            }
            over.store(true, Ordering::SeqCst);
        });
        threads.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let audit = machine.audit();
                assert!(audit.is_exact(), "{audit}");
                machine.verify().unwrap_or_else(|violation| panic!("{violation}"));
                std::thread::yield_now();
            }
        });
    });
    machine.drain_all();
    machine.verify().unwrap();
    assert_eq!(machine.free_count(), PAGES);
    assert!(reported.into_inner() >= REPORTED, "hardly anything was reported");
    assert!(refused.into_inner() > 0, "memory was never short");
}
