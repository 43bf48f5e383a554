//! Page tables, shootdown, the page fault hook.
//!
//! The cases build a table of their own: the kernel's upper half, and one page below. Two frames
//! that hold different words show which of them a CPU reaches at that page.

#![expect(unsafe_code, reason = "edits page tables and reads through them")]

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pageblock::{AllocRequest, Order, Pfn};
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::idt::PageFaultErrorCode;
use x86_64::structures::paging::{PageTable, PageTableFlags, PhysFrame};
use x86_64::{PhysAddr, VirtAddr};

use crate::arch::percpu;
use crate::arch::trap::{FaultOutcome, set_fault_hook};
use crate::memory::allocator;
use crate::physical::{phys_to_virt, root};
use crate::smp::{self, shootdown};
use crate::testing::{Outcome, Stop, cases, check, check_eq};

cases!(Plain:
    the_kernels_lower_half_is_empty,
    spaces_share_the_kernels_upper_half,
    every_cpu_uses_the_kernels_table,
    physical_memory_is_mapped_to_its_end,
    a_cpu_reads_through_its_own_table,
    shootdown_flushes_one_page_on_every_cpu,
    shootdown_flushes_many_pages_on_every_cpu,
    shootdown_flushes_everything_on_every_cpu,
    shootdowns_of_all_cpus_cross,
    the_fault_hook_can_repair_an_access,
    the_fault_hook_runs_on_the_cpu_that_faulted,
    the_fault_hook_learns_what_was_tried,
);

/// Where the page is: somewhere in the lower half, at the first entry of each lower table.
const PAGE: VirtAddr = VirtAddr::new(5 << 39);
const FLAGS: PageTableFlags = PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE);
const FIRST: u64 = 0x1111_1111;
const SECOND: u64 = 0x2222_2222;

/// A frame of the allocator's, as words.
struct Frame(Pfn);

impl Frame {
    fn new() -> Result<Self, Stop> {
        let frame = Self(allocator().alloc_pages(AllocRequest::unmovable())?);
        frame.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        Ok(frame)
    }

    fn holding(word: u64) -> Result<Self, Stop> {
        let frame = Self::new()?;
        frame.words()[0].store(word, Ordering::Relaxed);
        Ok(frame)
    }

    fn address(&self) -> PhysAddr {
        PhysAddr::new(self.0.start_address())
    }

    fn words(&self) -> &'static [AtomicU64; 512] {
        let words: *const [AtomicU64; 512] = phys_to_virt(self.address()).as_ptr();
        // SAFETY: the frame is ours and mapped; everybody uses its words as atomics.
        unsafe { &*words }
    }

    fn map(&self, index: usize, target: &Self) {
        self.words()[index].store(target.address().as_u64() | FLAGS.bits(), Ordering::Release);
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        allocator().free_pages(self.0, Order::ZERO).expect("the frame is ours");
    }
}

/// Tables that map [`PAGE`] to the first of two frames.
struct Tables {
    top: Frame,
    low: Frame,
    _between: [Frame; 2],
    first: Frame,
    second: Frame,
}

impl Tables {
    fn new() -> Result<Self, Stop> {
        let (top, high, middle, low) = (Frame::new()?, Frame::new()?, Frame::new()?, Frame::new()?);
        root::copy_upper_half(root::frame(), PhysFrame::containing_address(top.address()));
        top.map(usize::from(PAGE.p4_index()), &high);
        high.map(0, &middle);
        middle.map(0, &low);
        let (first, second) = (Frame::holding(FIRST)?, Frame::holding(SECOND)?);
        low.map(0, &first);
        Ok(Self { top, low, _between: [high, middle], first, second })
    }

    /// Makes this CPU use the tables.
    fn activate(&self) {
        let top = PhysFrame::containing_address(self.top.address());
        // SAFETY: the tables map what the kernel's own do, and a page that the kernel does not use.
        unsafe { Cr3::write(top, Cr3Flags::empty()) };
    }

    /// Runs `body` with the tables in use on every CPU, and with the kernel's own again afterwards.
    fn in_use(body: impl FnOnce(&Self) -> Outcome) -> Outcome {
        let tables = Self::new()?;
        smp::run_on_all(|_| tables.activate());
        let outcome = body(&tables);
        smp::run_on_all(|_| root::activate());
        outcome
    }

    /// Maps the page to the other frame and flushes with `flush`; all CPUs must then see that.
    fn remap(&self, flush: impl Fn(VirtAddr)) -> Outcome {
        for round in 0..50 {
            let (target, word) = if round % 2 == 0 { (&self.second, SECOND) } else { (&self.first, FIRST) };
            self.low.map(0, target);
            flush(PAGE);
            let wrong = AtomicUsize::new(0);
            smp::run_on_all(|_| {
                if read(PAGE) != word {
                    wrong.fetch_add(1, Ordering::Relaxed);
                }
            });
            let wrong = wrong.into_inner();
            check(wrong == 0, format_args!("{wrong} CPUs kept the old translation in round {round}"))?;
        }
        Ok(())
    }
}

/// Reads the word at `address`.
fn read(address: VirtAddr) -> u64 {
    // SAFETY: the callers have the address mapped, or a fault hook that maps it.
    unsafe { address.as_ptr::<u64>().read_volatile() }
}

fn the_kernels_lower_half_is_empty() -> Outcome {
    let table: *const PageTable = phys_to_virt(root::frame().start_address()).as_ptr();
    // SAFETY: the kernel's table never changes.
    let table = unsafe { &*table };
    let used = table.iter().take(root::UPPER_HALF).filter(|entry| !entry.is_unused()).count();
    check_eq(used, 0)
}

fn spaces_share_the_kernels_upper_half() -> Outcome {
    // Flags that a CPU sets when it uses an entry.
    let used_by_cpu = (PageTableFlags::ACCESSED | PageTableFlags::DIRTY).bits();
    let kernel: *const PageTable = phys_to_virt(root::frame().start_address()).as_ptr();
    // SAFETY: the kernel's table never changes.
    let kernel = unsafe { &*kernel };
    let tables = Tables::new()?;
    for (index, entry) in kernel.iter().enumerate().skip(root::UPPER_HALF) {
        let copy = tables.top.words()[index].load(Ordering::Relaxed);
        let entry = entry.addr().as_u64() | entry.flags().bits();
        check_eq(copy & !used_by_cpu, entry & !used_by_cpu)?;
    }
    Ok(())
}

fn every_cpu_uses_the_kernels_table() -> Outcome {
    let others = AtomicUsize::new(0);
    smp::run_on_all(|_| {
        if Cr3::read().0 != root::frame() {
            others.fetch_add(1, Ordering::Relaxed);
        }
    });
    check_eq(others.into_inner(), 0)
}

/// The highest block of each order is as writable as any.
fn physical_memory_is_mapped_to_its_end() -> Outcome {
    let last = Pfn::new(allocator().span().end().number() - 1);
    // Whatever it is used for, it can be read.
    let word = read(phys_to_virt(PhysAddr::new(last.start_address())));
    core::hint::black_box(word);
    Ok(())
}

fn a_cpu_reads_through_its_own_table() -> Outcome {
    let (one, other) = (Tables::new()?, Tables::new()?);
    other.low.map(0, &other.second);
    let wrong = AtomicUsize::new(0);
    smp::run_on_all(|cpu| {
        let (tables, word) = if cpu.number() % 2 == 0 { (&one, FIRST) } else { (&other, SECOND) };
        for _ in 0..100 {
            tables.activate();
            if read(PAGE) != word {
                wrong.fetch_add(1, Ordering::Relaxed);
            }
            root::activate();
        }
    });
    check_eq(wrong.into_inner(), 0)
}

fn shootdown_flushes_one_page_on_every_cpu() -> Outcome {
    Tables::in_use(|tables| tables.remap(|page| shootdown::flush(page, 1)))
}

fn shootdown_flushes_many_pages_on_every_cpu() -> Outcome {
    // The page is the last of a range that is named page by page, then of one that is not.
    Tables::in_use(|tables| {
        for pages in [2, 32, 33, 1000] {
            tables.remap(|page| shootdown::flush(page - (pages - 1) * 4096, pages))?;
        }
        Ok(())
    })
}

fn shootdown_flushes_everything_on_every_cpu() -> Outcome {
    Tables::in_use(|tables| tables.remap(|_| shootdown::flush_all()))
}

fn shootdowns_of_all_cpus_cross() -> Outcome {
    const ROUNDS: u64 = 100;
    let before = shootdown::count();
    smp::run_on_all(|_| (0..ROUNDS).for_each(|round| shootdown::flush(PAGE + round * 4096, 1)));
    check_eq(shootdown::count() - before, ROUNDS * smp::cpu_count() as u64)
}

/// What the hook saw last.
static FAULT_ADDRESS: AtomicU64 = AtomicU64::new(0);
static FAULT_CODE: AtomicU64 = AtomicU64::new(0);
/// The entry that the hook repairs, and with what.
static ENTRY: AtomicUsize = AtomicUsize::new(0);
static REPAIR: AtomicU64 = AtomicU64::new(0);
/// The CPUs that the hook ran on, a bit each.
static FAULTED: AtomicU64 = AtomicU64::new(0);

fn repair(address: VirtAddr, code: PageFaultErrorCode) -> FaultOutcome {
    FAULTED.fetch_or(1 << smp::current().number(), Ordering::Relaxed);
    FAULT_ADDRESS.store(address.as_u64(), Ordering::Relaxed);
    FAULT_CODE.store(code.bits(), Ordering::Relaxed);
    let entry: *const AtomicU64 = core::ptr::with_exposed_provenance(ENTRY.load(Ordering::Relaxed));
    // SAFETY: `with_repair` points to an entry that outlives the hook.
    unsafe { &*entry }.store(REPAIR.load(Ordering::Relaxed), Ordering::Release);
    FaultOutcome::Handled
}

/// Runs `body` with the page not mapped, and a hook that maps it to the first frame with `flags`.
fn with_repair(flags: PageTableFlags, body: impl FnOnce(&Tables) -> Outcome) -> Outcome {
    Tables::in_use(|tables| {
        let entry = &tables.low.words()[0];
        entry.store(0, Ordering::Release);
        shootdown::flush(PAGE, 1);
        FAULTED.store(0, Ordering::Relaxed);
        ENTRY.store(core::ptr::from_ref(entry).expose_provenance(), Ordering::Relaxed);
        REPAIR.store(tables.first.address().as_u64() | flags.bits(), Ordering::Relaxed);
        let before = set_fault_hook(Some(repair));
        let outcome = body(tables);
        set_fault_hook(before);
        outcome
    })
}

fn the_fault_hook_can_repair_an_access() -> Outcome {
    with_repair(FLAGS, |_| {
        check_eq(read(PAGE), FIRST)?;
        check_eq(FAULT_ADDRESS.load(Ordering::Relaxed), PAGE.as_u64())
    })
}

fn the_fault_hook_runs_on_the_cpu_that_faulted() -> Outcome {
    with_repair(FLAGS, |tables| {
        for cpu in percpu::all() {
            tables.low.words()[0].store(0, Ordering::Release);
            shootdown::flush(PAGE, 1);
            FAULTED.store(0, Ordering::Relaxed);
            smp::run_on_all(|current| {
                if current == cpu {
                    read(PAGE);
                }
            });
            check_eq(FAULTED.load(Ordering::Relaxed), 1 << cpu.number())?;
        }
        Ok(())
    })
}

fn the_fault_hook_learns_what_was_tried() -> Outcome {
    let write = PageFaultErrorCode::CAUSED_BY_WRITE;
    let present = PageFaultErrorCode::PROTECTION_VIOLATION;
    let code = || PageFaultErrorCode::from_bits_retain(FAULT_CODE.load(Ordering::Relaxed));
    let word = (PAGE + 8).as_mut_ptr::<u64>();
    with_repair(PageTableFlags::PRESENT, |tables| {
        read(PAGE + 16);
        check_eq(code(), PageFaultErrorCode::empty())?;
        check_eq(FAULT_ADDRESS.load(Ordering::Relaxed), (PAGE + 16).as_u64())?;

        // Now it can be read, but not written.
        REPAIR.store(tables.first.address().as_u64() | FLAGS.bits(), Ordering::Relaxed);
        // SAFETY: the hook maps the page, and only this CPU uses the word.
        unsafe { word.write_volatile(SECOND) };
        check_eq(code(), write | present)?;
        check_eq(FAULT_ADDRESS.load(Ordering::Relaxed), word.addr() as u64)?;
        check_eq(tables.first.words()[1].load(Ordering::Relaxed), SECOND)
    })
}
