//! Safe traits that are implemented wrongly: a lie costs speed or gives an error, and never gives a
//! frame to two owners.
//!
//! What a platform promises with `unsafe` ([`PcpAccess::owner_only`](pageblock::PcpAccess)) is not
//! here: a lie there can.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pageblock::{
    AllocRequest, ContigOptions, CpuId, HotplugNotifier, Migrate, MigrateError, Move, Order, PageAllocator,
    Pfn, PfnRange, Platform, Veto,
};

use crate::support::{Answer, Builder, Machine, fill, frames, mebibytes, range, scope};

thread_local! {
    /// How many masks of this thread have not been restored.
    static MASKS: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread is in a call that the platform made.
    static CALLED_BACK: Cell<bool> = const { Cell::new(false) };
}

/// What a platform says that is not true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lie {
    /// Every call is made by another CPU than the last.
    OtherCpu,
    /// Most CPUs do not exist.
    NoSuchCpu,
    /// The CPU changes between two questions of one call, and is the same for all threads.
    SameCpu,
    /// Where interrupts should be masked, an interrupt handler runs, and one where they are
    /// restored.
    Interrupts,
}

struct Liar {
    lie: Lie,
    asked: AtomicUsize,
    allocator: OnceLock<&'static PageAllocator<'static, Liar>>,
}

impl Liar {
    /// The interrupt handler: allocates and frees.
    fn interrupt(&self) {
        let Some(allocator) = self.allocator.get().filter(|_| self.lie == Lie::Interrupts) else {
            return;
        };
        if MASKS.get() == 0 && !CALLED_BACK.replace(true) {
            if let Ok(pfn) = allocator.alloc_pages(AllocRequest::movable()) {
                allocator.free_pages(pfn, Order::ZERO).unwrap();
            }
            CALLED_BACK.set(false);
        }
    }
}

impl Platform for Liar {
    fn current_cpu(&self) -> CpuId {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        CpuId::new(match self.lie {
            Lie::OtherCpu => asked % 4,
            Lie::NoSuchCpu => asked.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            Lie::SameCpu | Lie::Interrupts => 0,
        })
    }

    fn mask_interrupts(&self) -> usize {
        self.interrupt();
        MASKS.set(MASKS.get() + 1);
        0
    }

    fn restore_interrupts(&self, _: usize) {
        MASKS.set(MASKS.get() - 1);
        self.interrupt();
    }
}

/// The thread that has each frame, or 0.
struct Taken(Vec<AtomicUsize>);

impl Taken {
    fn change(&self, block: PfnRange, from: usize, to: usize) {
        for pfn in block.iter() {
            assert_eq!(self.0[pfn.number()].swap(to, Ordering::Relaxed), from, "who has {pfn}");
        }
    }
}

/// Threads that allocate and free while another one isolates, drains and audits.
fn storm(machine: &'static PageAllocator<'static, Liar>) {
    let taken = Taken((0..machine.span().end().number()).map(|_| AtomicUsize::new(0)).collect());
    let taken = &taken;
    scope(|scope| {
        for thread in 1..=3 {
            scope.spawn(move || {
                let free = |(pfn, order): (Pfn, Order)| {
                    taken.change(order.block(pfn), thread, 0);
                    machine.free_pages(pfn, order).unwrap();
                };
                let mut held: Vec<(Pfn, Order)> = Vec::new();
                for n in 0..6000_usize {
                    if n % 3 == 2 || held.len() > 200 {
                        free(held.swap_remove(n * 7 % held.len()));
                        continue;
                    }
                    let order = Order::new((n % 4) as u8);
                    if let Ok(pfn) = machine.alloc_pages(AllocRequest::movable().order(order)) {
                        taken.change(order.block(pfn), 0, thread);
                        held.push((pfn, order));
                    }
                }
                held.into_iter().for_each(free);
            });
        }
        scope.spawn(move || {
            for n in 0..60 {
                let isolated = machine.isolate(range(512 * (n % 8), 512 * (n % 8) + 300)).unwrap();
                assert!(machine.audit().is_exact());
                drop(isolated);
                machine.drain_all();
            }
        });
    });
    machine.drain_all();
    // An interrupt handler may have cached a page since.
    let total = machine.verify().unwrap().total();
    assert_eq!((total.free + total.cached, total.allocated), (total.present, 0));
}

#[test]
fn a_platform_that_lies_about_cpus_and_interrupts_costs_speed_only() {
    for lie in [Lie::OtherCpu, Lie::NoSuchCpu, Lie::SameCpu, Lie::Interrupts] {
        let liar = Liar { lie, asked: AtomicUsize::new(0), allocator: OnceLock::new() };
        let machine: &'static PageAllocator<'static, Liar> =
            Box::leak(Box::new(mebibytes(16).no_reserve().cpus(4).build_on(liar)));
        let _first = machine.platform().allocator.set(machine);
        storm(machine);
    }
}

/// One pageblock of single movable pages, and some free ones around it.
fn movable_pages() -> (Machine, PfnRange, Vec<Pfn>) {
    let machine = small().build();
    let pages = fill(&machine, AllocRequest::movable());
    let (inside, outside): (Vec<_>, Vec<_>) = pages.into_iter().partition(|pfn| pfn.number() / 512 == 1);
    outside.iter().for_each(|pfn| machine.free_pages(*pfn, Order::ZERO).unwrap());
    (machine, range(512, 1024), inside)
}

fn small() -> Builder {
    frames(&[(0, 2048)]).no_reserve()
}

/// No frame has two owners: what is allocated from now on is neither allocated now nor given twice.
fn has_one_owner_each(machine: &Machine, held: &HashSet<Pfn>) {
    machine.verify().unwrap();
    assert!(machine.audit().is_exact());
    let mut all = held.clone();
    for pfn in fill(machine, AllocRequest::movable()) {
        assert!(all.insert(pfn), "{pfn} has an owner");
    }
    machine.verify().unwrap();
}

/// The frames of single pages that are allocated.
fn allocated(machine: &Machine) -> HashSet<Pfn> {
    machine.span().iter().filter(|pfn| machine.owner(*pfn, Order::ZERO).is_ok()).collect()
}

type Answering = fn(&Machine, Move) -> Result<(), MigrateError>;

/// What owners do, and what they say.
const OWNERS: [(&str, Answering); 8] = [
    ("move nothing and say so of everything", |_, _| Ok(())),
    ("refuse everything", |_, _| Err(MigrateError::Busy)),
    ("say that a block is gone which is not", |_, _| Err(MigrateError::Gone)),
    ("free a block and say that it moved", |machine, page| {
        machine.free_pages(page.from, page.order).unwrap();
        Ok(())
    }),
    ("free a block and refuse to move it", |machine, page| {
        machine.free_pages(page.from, page.order).unwrap();
        Err(MigrateError::Pinned)
    }),
    ("free both blocks, and each of them twice", |machine, page| {
        for pfn in [page.from, page.to] {
            machine.free_pages(pfn, page.order).unwrap();
            assert!(machine.free_pages(pfn, page.order).is_err(), "a second free is refused");
        }
        Ok(())
    }),
    ("refuse one of two, and free the place of the other", |machine, page| {
        if page.from.number() % 2 == 0 {
            return Err(MigrateError::Busy);
        }
        machine.free_pages(page.to, page.order).unwrap();
        Err(MigrateError::Gone)
    }),
    ("allocate, isolate, drain and take ranges meanwhile", |machine, page| {
        let taken = machine.alloc_pages(AllocRequest::movable());
        assert!(machine.isolate(PfnRange::with_len(page.from, 1)).is_err(), "it is isolated already");
        machine.drain_all();
        drop(machine.alloc_contig(range(1800, 1810), &pageblock::NoMigration, ContigOptions::default()));
        taken.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        assert!(machine.audit().is_exact());
        Ok(())
    }),
];

#[test]
fn owners_that_lie_about_what_they_moved_cost_their_own_pages_only() {
    for (what, answer) in OWNERS {
        let (machine, range, _) = movable_pages();
        let owners = Answer::new(|page| answer(&machine, page));
        let taken = machine.alloc_contig(range, &owners, ContigOptions::default());
        let taken: Option<PfnRange> = taken.ok().map(|taken| taken.into_raw());
        let mut held = allocated(&machine);
        held.extend(taken.into_iter().flat_map(|range| range.iter()));
        assert!(taken.is_none_or(|taken| taken == range), "owners that {what}");
        has_one_owner_each(&machine, &held);
    }
}

/// A kernel that allocates, frees, takes memory offline and audits whenever it is told something.
struct Busybody<'a>(&'a Machine);

impl Busybody<'_> {
    fn act(&self) {
        let Self(machine) = self;
        let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
        machine.drain_all();
        assert!(machine.audit().is_exact());
        let other = range(1536, 2048);
        let offline =
            machine.offline(other, &pageblock::NoMigration, &pageblock::NoNotifier, Default::default());
        if let Ok((offline, _)) = offline {
            machine.online(offline, &pageblock::NoNotifier).unwrap();
        }
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
}

impl HotplugNotifier for Busybody<'_> {
    fn going_offline(&self, _: PfnRange) -> Result<(), Veto> {
        self.act();
        Ok(())
    }

    fn cancel_offline(&self, _: PfnRange) {
        self.act();
    }

    fn offline(&self, _: PfnRange) {
        self.act();
    }

    fn going_online(&self, _: PfnRange) -> Result<(), Veto> {
        self.act();
        Err(Veto)
    }
}

#[test]
fn a_notifier_may_call_the_allocator() {
    let machine = small().build();
    let busybody = Busybody(&machine);
    let taken = machine.offline(range(0, 512), &pageblock::NoMigration, &busybody, Default::default());
    let (offline, _) = taken.unwrap();
    let (offline, _vetoed) = machine.online(offline, &busybody).unwrap_err();
    has_one_owner_each(&machine, &HashSet::new());
    assert_eq!(machine.managed_count(), 2048 - 512);
    machine.online(offline, &pageblock::NoNotifier).unwrap();
    machine.verify().unwrap();
}

/// An owner that takes a range itself each time that it is asked to make room for one.
struct Recursive<'a>(&'a Machine, Cell<usize>);

impl Migrate for Recursive<'_> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let Self(machine, depth) = self;
        if depth.get() < 5 {
            depth.set(depth.get() + 1);
            let other = 1024 + 16 * depth.get();
            drop(machine.alloc_contig(range(other, other + 8), self, ContigOptions::default().attempts(1)));
            assert!(machine.alloc_contig(range(512, 1024), self, ContigOptions::default()).is_err());
            depth.set(depth.get() - 1);
        }
        assert!(machine.audit().is_exact());
        if page.from.number().is_multiple_of(3) { Err(MigrateError::Busy) } else { Ok(()) }
    }
}

#[test]
fn owners_that_take_ranges_themselves_get_errors_for_the_frames_that_are_being_taken() {
    let (machine, _, inside) = movable_pages();
    let owners = Recursive(&machine, Cell::new(0));
    let few = PfnRange::with_len(inside.iter().copied().min().unwrap(), 8);
    drop(machine.alloc_contig(few, &owners, ContigOptions::default().attempts(2)));
    has_one_owner_each(&machine, &allocated(&machine));
}
