//! The longest time for which each call masks interrupts.
//!
//! The allocator is that of a machine with 64 CPUs, 4 GiB and a CMA area of 16 GiB, in the default
//! access mode, on frames that do not exist; its platform reads the counter when interrupts are to
//! be masked and when they are to be restored. A figure is the longest time of many calls of one
//! kind, with the cost of reading the counter, which is about 20 instructions.
//!
//! Not measured: audits and `verify`, which walk a zone in one lock hold.

use core::fmt;
use core::hint::black_box;

use heapless::LinearMap;
use pageblock::{
    AllocRequest, CmaArea, CmaError, ContigOptions, ContigPlace, ContigRange, ExactPages, Geometry as _,
    MemoryUse, Migrate, MigrateError, Move, NoMigration, NoNotifier, Order, PAGE_SIZE, Pfn, PfnRange,
    ReportOptions, X86_64, ZoneKind,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use x86_64::instructions::interrupts::without_interrupts;

use crate::memory::stopwatch::Stopwatch;
use crate::memory::{ManyCpus, many_cpus};
use crate::scenarios::bench::blocks::{Allocator, Blocks, NoMemory, Words};
use crate::scenarios::bench::counter::Instructions;
use crate::scenarios::bench::reference::masked;
use crate::scenarios::bench::report;

const MIB: usize = (1 << 20) / PAGE_SIZE as usize;

/// Measures all calls.
pub(super) fn measure(seed: u64) -> Result<(), NoMemory> {
    let Some(machine) = many_cpus() else { return Ok(()) };
    let mut calls = Calls {
        allocator: &machine.allocator,
        longest: LinearMap::new(),
        taken: Blocks::new().ok_or(NoMemory)?,
        rng: SmallRng::seed_from_u64(seed),
    };
    report::progress("masked interrupts: blocks");
    calls.deferred();
    calls.pages();
    calls.blocks();
    calls.refusals();
    calls.bulk();
    calls.ranges();
    calls.drain();
    report::progress("masked interrupts: ranges");
    calls.isolation();
    calls.contig();
    calls.hotplug();
    calls.reports();
    calls.figures();
    report::progress("masked interrupts: CMA");
    if let Some(bitmap) = machine.bitmap.lock().take() {
        calls.cma(bitmap, &mut Blocks::new().ok_or(NoMemory)?);
    }
    for (name, longest) in &calls.longest {
        report::whole(masked(name), Instructions::exactly(*longest));
    }
    Ok(())
}

/// The result of a call that has no reason to fail here.
fn must<T, E: fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("a call of the benchmark failed: {error}"))
}

struct Calls {
    allocator: Allocator<Stopwatch>,
    /// By call.
    longest: LinearMap<&'static str, u64, 48>,
    /// The blocks that are allocated. The owner word of each is its number.
    taken: Blocks,
    rng: SmallRng,
}

impl Calls {
    /// Makes a call of this name, and keeps the longest time for which interrupts were to be
    /// masked.
    fn time<R>(&mut self, name: &'static str, call: impl FnOnce(Allocator<Stopwatch>) -> R) -> R {
        let (result, masked) = without_interrupts(|| {
            Stopwatch::take_longest();
            let result = call(self.allocator);
            (result, Stopwatch::take_longest())
        });
        let before = self.longest.get(name).copied().unwrap_or(0);
        self.longest.insert(name, before.max(masked)).expect("room for all calls");
        result
    }

    /// Allocates a block; `None` if there is none.
    fn alloc(&mut self, request: AllocRequest, order: Order) -> Option<()> {
        let request = request.order(order).owner(self.taken.len() as u64);
        let pfn = self.time("masked:alloc_pages", |allocator| allocator.alloc_pages(request)).ok()?;
        self.taken.push(pfn, order);
        Some(())
    }

    fn alloc_pages(&mut self, pages: usize) {
        for _ in 0..pages {
            self.alloc(AllocRequest::movable(), Order::ZERO).expect("a page is free");
        }
    }

    /// Frees the last block, and returns its number of pages: 0 if there is none.
    fn free_last(&mut self) -> usize {
        let Some((pfn, order)) = self.taken.pop() else { return 0 };
        must(self.time("masked:free_pages", |allocator| allocator.free_pages(pfn, order)));
        order.pages()
    }

    fn free_all(&mut self) {
        while self.free_last() > 0 {}
    }

    /// Isolations in memory of which no record has been written: more than a zone has room for in
    /// its table of such ranges, the last one 1 GiB from the nearest end of its range.
    fn deferred(&mut self) {
        let start = self.allocator.span().start().number();
        let near = (1..=32).map(|number| number * 12 * MIB);
        for offset in near.chain([1400 * MIB]) {
            let range = PfnRange::with_len(Pfn::new(start + offset), 2 * MIB);
            drop(must(self.time("masked:isolate-deferred", |allocator| allocator.isolate(range))));
        }
    }

    /// Bursts on one CPU after the other, freed in random order, every second one on another CPU.
    fn pages(&mut self) {
        for cpu in (0..Stopwatch::CPUS).chain(0..8) {
            Stopwatch::run_on(cpu);
            self.alloc_pages(8192);
            self.taken.shuffle(&mut self.rng);
            Stopwatch::run_on((cpu + cpu % 2) % Stopwatch::CPUS);
            self.free_all();
        }
    }

    /// Blocks of all orders, with half of the memory in use.
    fn blocks(&mut self) {
        let half = self.allocator.managed_count() / 2;
        let mut used = 0;
        for _ in 0..100_000 {
            Stopwatch::run_on(self.rng.random_range(0..Stopwatch::CPUS));
            if used < half {
                let order = Order::new(self.rng.random_range(0..=X86_64::MAX_ORDER.get()));
                self.alloc(AllocRequest::unmovable(), order).expect("half is free");
                used += order.pages();
            } else {
                self.taken.choose(&mut self.rng);
                used -= self.free_last();
            }
        }
        self.free_all();
    }

    /// Requests for more than there is, while all CPUs have pages on their lists.
    fn refusals(&mut self) {
        for order in (0..=X86_64::MAX_ORDER.get()).rev().map(Order::new) {
            while self.alloc(AllocRequest::unmovable(), order).is_some() {}
        }
        for cpu in 0..Stopwatch::CPUS {
            Stopwatch::run_on(cpu);
            self.free_last();
            self.alloc(AllocRequest::unmovable(), X86_64::MAX_ORDER);
        }
        self.free_all();
    }

    fn bulk(&mut self) {
        let mut pages = [Pfn::new(0); 512];
        for _ in 0..16 {
            let filled = self.time("masked:alloc_bulk", |allocator| {
                allocator.alloc_bulk(AllocRequest::unmovable(), &mut pages)
            });
            assert_eq!(filled, pages.len(), "nearly all is free");
            must(self.time("masked:free_bulk", |allocator| allocator.free_bulk(&pages, Order::ZERO)));
        }
    }

    /// Exact ranges, and a block that is split into pages and freed as a range.
    fn ranges(&mut self) {
        for pages in [7, 511, 1023] {
            let alloc = |allocator: Allocator<Stopwatch>| {
                allocator.alloc_exact(pages, AllocRequest::movable()).map(ExactPages::into_raw)
            };
            let range = must(self.time("masked:alloc_exact", alloc));
            must(self.time("masked:free_exact", |allocator| allocator.free_exact(range)));
        }
        let order = X86_64::MAX_ORDER;
        self.alloc(AllocRequest::unmovable(), order).expect("nearly all is free");
        let (pfn, _) = self.taken.pop().expect("just allocated");
        must(self.time("masked:split_pages", |allocator| allocator.split_pages(pfn, order, Order::ZERO)));
        must(self.time("masked:free_range", |allocator| allocator.free_range(order.block(pfn))));
    }

    /// A drain of full lists of all CPUs.
    fn drain(&mut self) {
        for cpu in 0..Stopwatch::CPUS {
            Stopwatch::run_on(cpu);
            self.alloc_pages(1024);
            self.free_all();
        }
        self.time("masked:drain_all", |allocator| allocator.drain_all());
    }

    /// Isolations of free pageblocks, of pageblocks with pages in use, and of 1 GiB.
    fn isolation(&mut self) {
        self.alloc_pages(32 * MIB);
        let first = self.taken.first().expect("taken above");
        self.taken.shuffle(&mut self.rng);
        for _ in 0..self.taken.len() / 2 {
            self.free_last();
        }
        let used = PfnRange::with_len(X86_64::PAGEBLOCK_ORDER.align_down(first), 8 * MIB);
        for range in [used, self.free_range(8 * MIB), self.free_range(1024 * MIB)] {
            let mut isolated = must(self.time("masked:isolate", |allocator| allocator.isolate(range)));
            self.time("masked:IsolatedRange::drain", |_| isolated.drain());
            self.time("masked:IsolatedRange::test", |_| isolated.test().is_ok());
            self.time("masked:IsolatedRange::drop", |_| drop(isolated));
        }
        self.free_all();
    }

    /// Contiguous ranges of free frames, of frames in use, and of a search with pages in the way.
    fn contig(&mut self) {
        let options = ContigOptions::default();
        for pages in [2000, 8 * MIB, 1024 * MIB] {
            let range = self.free_range(pages);
            let taken = self.time("masked:alloc_contig-of-free", |allocator| {
                allocator.alloc_contig(range, &NoMigration, options)
            });
            let range = must(taken).into_raw();
            must(self.time("masked:set_range_owner", |allocator| allocator.set_range_owner(range, 1)));
            must(self.time("masked:pin_range", |allocator| allocator.pin_range(range)));
            must(self.time("masked:unpin_range", |allocator| allocator.unpin_range(range)));
            must(self.time("masked:free_contig", |allocator| allocator.free_contig(range)));
        }
        self.alloc_pages(64 * MIB);
        for pages in [2000, 8 * MIB, 32 * MIB] {
            let first = X86_64::PAGEBLOCK_ORDER.align_down(self.taken.first().expect("taken above"));
            let range = PfnRange::with_len(first, pages);
            must(self.moving("masked:alloc_contig-in-use", |allocator, owners| {
                allocator.alloc_contig(range, owners, options).map(ContigRange::into_raw)
            }));
            must(self.time("masked:free_contig", |allocator| allocator.free_contig(range)));
            let place = ContigPlace::anywhere().aligned(Order::new(4));
            let range = must(self.moving("masked:alloc_contig_pages", |allocator, owners| {
                allocator.alloc_contig_pages(pages, place, owners, options).map(ContigRange::into_raw)
            }));
            must(self.time("masked:free_contig", |allocator| allocator.free_contig(range)));
        }
        // The search finds pages that cannot be migrated.
        let end = self.allocator.span().start().number() + 128 * MIB;
        let place = ContigPlace::anywhere().below(Pfn::new(end));
        self.time("masked:alloc_contig_pages", |allocator| {
            let found = allocator.alloc_contig_pages(64 * MIB, place, &NoMigration, options);
            if let Ok(found) = found {
                drop(found);
            }
        });
        self.free_all();
    }

    /// Memory goes offline and comes back, is taken out of use and is added again.
    fn hotplug(&mut self) {
        self.alloc_pages(32 * MIB);
        let first = X86_64::MAX_ORDER.align_down(self.taken.first().expect("taken above"));
        let used = PfnRange::with_len(first, 16 * MIB);
        for range in [used, self.free_range(128 * MIB), self.free_range(1024 * MIB)] {
            let (offline, _) = must(self.moving("masked:offline", |allocator, owners| {
                allocator.offline(range, owners, &NoNotifier, ContigOptions::default())
            }));
            let online = self.time("masked:online", |allocator| allocator.online(offline, &NoNotifier));
            must(online.map_err(|(_, error)| error));
        }
        let range = self.free_range(128 * MIB);
        must(self.time("masked:reserve", |allocator| allocator.reserve(range)));
        must(self.time("masked:add_memory", |allocator| allocator.add_memory(range, MemoryUse::Ordinary)));
        self.free_all();
    }

    /// Reports of free blocks, until none is left.
    fn reports(&mut self) {
        let options = ReportOptions::default();
        while let Some(mut batch) =
            must(self.time("masked:report_free_pages", |allocator| allocator.report_free_pages(options)))
        {
            while self.time("masked:ReportBatch::hand_over", |_| batch.hand_over()).is_some() {}
            self.time("masked:ReportBatch::acknowledged", |_| batch.acknowledged());
        }
    }

    /// Counts and lists of what there is.
    fn figures(&mut self) {
        self.time("masked:meminfo-vmstat", |allocator| black_box((allocator.meminfo(), allocator.vmstat())));
        self.time("masked:zoneinfo-buddyinfo", |allocator| {
            black_box((allocator.zoneinfo(), allocator.buddyinfo()))
        });
        self.time("masked:pagetypeinfo", |allocator| black_box(allocator.pagetypeinfo()));
        self.time("masked:pageblocks", |allocator| allocator.pageblocks().count());
        self.time("masked:allocated_blocks", |allocator| allocator.allocated_blocks().count());
    }

    /// Ranges of an area that is empty, has gaps, or is full; with and without pages to migrate.
    fn cma(&mut self, bitmap: &mut [u64], ranges: &mut Blocks) {
        let area = must(self.time("masked:CmaArea::new", |allocator| {
            CmaArea::reserve(allocator, ManyCpus::CMA_PAGES, ZoneKind::Normal, bitmap)
        }));
        self.alloc_pages(64 * MIB);
        for pages in [1, 100, 8 * MIB, 100 * MIB] {
            let range = must(self.moving("masked:CmaArea::alloc", |allocator, owners| {
                area.alloc(allocator, pages, Order::ZERO, owners)
            }));
            must(self.time("masked:CmaArea::free", |allocator| area.free(allocator, range)));
        }
        let piece = 4 * MIB;
        while let Ok(range) = self.moving("masked:CmaArea::alloc", |allocator, owners| {
            area.alloc(allocator, piece, Order::ZERO, owners)
        }) {
            ranges.push(range.start(), Order::ZERO);
        }
        assert_eq!(ranges.len() * piece, area.range().len(), "the area was empty");
        // Every second piece, so that no larger range is found.
        while let (Some((start, _)), _) = (ranges.pop(), ranges.pop()) {
            let range = PfnRange::with_len(start, piece);
            must(self.time("masked:CmaArea::free", |allocator| area.free(allocator, range)));
        }
        let full = self.moving("masked:CmaArea::alloc", |allocator, owners| {
            area.alloc(allocator, 2 * piece, Order::ZERO, owners)
        });
        assert!(matches!(full, Err(CmaError::Full { .. })), "the area has no such range");
        self.time("masked:CmaArea::stats", |allocator| black_box(area.stats(allocator)));
        self.free_all();
    }

    /// As [`time`](Self::time), for a call that migrates blocks of `taken`.
    fn moving<R>(&mut self, name: &'static str, call: impl FnOnce(Allocator<Stopwatch>, &Owners) -> R) -> R {
        let owners = Owners(self.taken.words());
        self.time(name, |allocator| call(allocator, &owners))
    }

    /// The highest range of that length: it is free, because memory is taken from below.
    fn free_range(&self, pages: usize) -> PfnRange {
        let end = self.allocator.span().end();
        PfnRange::new(Pfn::new(end.number() - pages), end)
    }
}

/// The owners of the blocks of [`Calls`].
struct Owners(Words);

impl Migrate for Owners {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        self.0.replace(page.owner as usize, page.to);
        Ok(())
    }
}
