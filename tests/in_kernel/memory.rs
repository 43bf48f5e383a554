//! The allocator on the real machine: its frames are memory, and all CPUs and their interrupts
//! share it.
//!
//! What the allocator does in itself is tested on the host. Every case here ends with the machine
//! as it was: the same number of free pages, exact counters, all invariants.

#![expect(unsafe_code, reason = "maps a page with the `x86_64` crate, and looks where the kernel is")]

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use heapless::Vec;
use pageblock::interop::PageTableFrames;
use pageblock::{
    AllocRequest, CpuId, Depth, FreeError, Geometry, Mobility, Order, PAGE_SIZE, Pfn, X86_64, ZoneKind,
};
use x86_64::structures::paging::mapper::CleanUp;
use x86_64::structures::paging::{
    FrameAllocator, FrameDeallocator, Mapper, OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame,
    Size4KiB, Translate,
};
use x86_64::{PhysAddr, VirtAddr};

use crate::arch::tick;
use crate::memory::allocator;
use crate::physical::{LOW_MEMORY_END, phys_to_virt, root};
use crate::smp::{self, MAX_CPUS};
use crate::testing::{Outcome, cases, check, check_eq, fail};

cases!(Plain:
    the_first_mebibyte_stays_out,
    the_kernel_stays_out,
    blocks_of_every_order_are_memory_of_their_own,
    every_zone_serves_requests_for_it,
    all_cpus_allocate_at_once,
    a_cpu_frees_what_another_one_allocated,
    a_drain_reaches_every_cpus_lists,
    ticks_allocate_in_whatever_they_interrupt,
    audits_are_exact_while_all_cpus_work,
    the_x86_64_crate_maps_pages_with_our_frames,
);

/// Free pages with nothing on per-CPU lists.
fn drained() -> usize {
    allocator().drain_all();
    allocator().free_count()
}

/// Runs `body`, and checks that it left the machine as it was.
pub(super) fn leaves_no_trace(body: impl FnOnce() -> Outcome) -> Outcome {
    let before = drained();
    body()?;
    check_eq(drained(), before)?;
    let audit = allocator().audit();
    check(audit.is_exact(), format_args!("{audit}"))?;
    allocator().verify()?;
    Ok(())
}

/// An order that is certainly there.
pub(super) fn order(order: u8) -> Order {
    Order::new(order)
}

/// The frame so many pages into the block at `head`.
pub(super) fn frame_of(head: Pfn, page: usize) -> Pfn {
    Pfn::new(head.number() + page)
}

/// The first word of a frame.
fn word(pfn: Pfn) -> &'static AtomicUsize {
    let address: *const AtomicUsize = phys_to_virt(PhysAddr::new(pfn.start_address())).as_ptr();
    // SAFETY: the cases ask for frames that they own, which are mapped for good.
    unsafe { &*address }
}

/// The page table in that frame, to be used as its owner intends: the kernel's only to be read.
fn table_in(frame: PhysFrame) -> OffsetPageTable<'static> {
    let table: *mut PageTable = phys_to_virt(frame.start_address()).as_mut_ptr();
    // SAFETY: the callers' frames hold page tables, which are mapped for good.
    let table = unsafe { &mut *table };
    // SAFETY: physical memory is mapped from where its address 0 is.
    unsafe { OffsetPageTable::new(table, phys_to_virt(PhysAddr::zero())) }
}

/// Makes a page table in a frame of the caller's.
fn empty_table_in(frame: PhysFrame) -> OffsetPageTable<'static> {
    let table: *mut PageTable = phys_to_virt(frame.start_address()).as_mut_ptr();
    // SAFETY: the frame is the caller's and mapped.
    unsafe { table.write(PageTable::new()) };
    table_in(frame)
}

/// Checks that freeing `pfn` is refused.
fn stays_out(pfn: Pfn) -> Outcome {
    match allocator().free_pages(pfn, Order::ZERO) {
        Err(FreeError::Foreign { .. } | FreeError::Hole { .. } | FreeError::NotManaged { .. }) => Ok(()),
        other => Err(fail(format_args!("{pfn}: {other:?}"))),
    }
}

fn the_first_mebibyte_stays_out() -> Outcome {
    (0..(LOW_MEMORY_END / PAGE_SIZE) as usize).map(Pfn::new).try_for_each(stays_out)
}

/// Code, constants, data, the boot stack, early memory: wherever a bootloader put them.
fn the_kernel_stays_out() -> Outcome {
    static DATA: AtomicBool = AtomicBool::new(false);
    let local = 0_u8;
    let code: fn() -> Outcome = the_kernel_stays_out;
    let addresses = [
        (code as *const u8).addr(),
        "constant".as_ptr().addr(),
        (&raw const DATA).addr(),
        (&raw const local).addr(),
    ];
    let table = table_in(root::frame());
    for address in addresses {
        let Some(physical) = table.translate_addr(VirtAddr::new(address as u64)) else {
            return Err(fail(format_args!("{address:#x} is not mapped")));
        };
        stays_out(Pfn::containing(physical.as_u64()))?;
    }
    stays_out(Pfn::containing(root::frame().start_address().as_u64()))
}

fn blocks_of_every_order_are_memory_of_their_own() -> Outcome {
    leaves_no_trace(|| {
        let orders = || (0..=X86_64::MAX_ORDER.get()).map(order);
        let mut blocks: Vec<Pfn, 16> = Vec::new();
        for order in orders() {
            let head = allocator().alloc_pages(AllocRequest::unmovable().order(order))?;
            check(order.is_aligned(head), format_args!("{head} of {order}"))?;
            (0..order.pages())
                .for_each(|page| word(frame_of(head, page)).store(head.number() + page, Ordering::Relaxed));
            blocks.push(head).map_err(|_| fail(format_args!("more orders than expected")))?;
        }
        for (order, &head) in orders().zip(&blocks) {
            for page in 0..order.pages() {
                check_eq(word(frame_of(head, page)).load(Ordering::Relaxed), head.number() + page)?;
            }
            allocator().free_pages(head, order)?;
        }
        Ok(())
    })
}

fn every_zone_serves_requests_for_it() -> Outcome {
    leaves_no_trace(|| {
        for (zone, end) in [(ZoneKind::Dma, X86_64::DMA_END), (ZoneKind::Dma32, X86_64::DMA32_END)] {
            let pages = allocator().alloc(AllocRequest::unmovable().highest_zone(zone))?;
            check(pages.pfn() < end, format_args!("{} for {zone:?}", pages.pfn()))?;
        }
        Ok(())
    })
}

/// Allocates and frees a little of everything, and checks that nobody else writes to it. Says how
/// often somebody did.
fn churn(cpu: CpuId, rounds: usize) -> usize {
    const MOBILITIES: [Mobility; 3] = [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable];
    let mut wrong = 0;
    let mut held: [Option<(Pfn, Order, usize)>; 8] = [None; 8];
    for round in 0..rounds + held.len() {
        let place = &mut held[round % 8];
        if let Some((head, of, mark)) = place.take() {
            wrong += usize::from(word(head).load(Ordering::Relaxed) != mark);
            wrong += usize::from(allocator().free_pages(head, of).is_err());
        }
        if round < rounds {
            let of = order([0, 0, 1, 0, 2, 0, 3, 0, 5, 0, 9][round % 11]);
            let request = AllocRequest::new(of, MOBILITIES[round % 3]);
            if let Ok(head) = allocator().alloc_pages(request) {
                let mark = cpu.number() * rounds + round;
                word(head).store(mark, Ordering::Relaxed);
                *place = Some((head, of, mark));
            }
        }
    }
    wrong
}

fn all_cpus_allocate_at_once() -> Outcome {
    leaves_no_trace(|| {
        let wrong = AtomicUsize::new(0);
        smp::run_on_all(|cpu| {
            wrong.fetch_add(churn(cpu, 5_000), Ordering::Relaxed);
        });
        check_eq(wrong.into_inner(), 0)
    })
}

fn a_cpu_frees_what_another_one_allocated() -> Outcome {
    /// By CPU: a frame's number, or 0.
    static FRAMES: [AtomicUsize; MAX_CPUS] = [const { AtomicUsize::new(0) }; MAX_CPUS];
    leaves_no_trace(|| {
        let wrong = AtomicUsize::new(0);
        let cpus = smp::cpu_count();
        for shift in 0..100 {
            smp::run_on_all(|cpu| match allocator().alloc_pages(AllocRequest::movable()) {
                Ok(pfn) => FRAMES[cpu.number()].store(pfn.number(), Ordering::Relaxed),
                Err(_) => drop(wrong.fetch_add(1, Ordering::Relaxed)),
            });
            smp::run_on_all(|cpu| {
                let pfn = Pfn::new(FRAMES[(cpu.number() + shift) % cpus].load(Ordering::Relaxed));
                if allocator().free_pages(pfn, Order::ZERO).is_err() {
                    wrong.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        check_eq(wrong.into_inner(), 0)
    })
}

fn a_drain_reaches_every_cpus_lists() -> Outcome {
    leaves_no_trace(|| {
        let all = drained();
        // A page that was just freed stays on its CPU's list.
        smp::run_on_all(|_| drop(allocator().alloc(AllocRequest::unmovable())));
        let cached = all - allocator().free_count();
        let cpus = smp::cpu_count();
        check(cached >= cpus, format_args!("{cached} pages on the lists of {cpus} CPUs"))?;
        check_eq(drained(), all)
    })
}

fn ticks_allocate_in_whatever_they_interrupt() -> Outcome {
    static TICKS: AtomicUsize = AtomicUsize::new(0);
    static WRONG: AtomicUsize = AtomicUsize::new(0);
    fn on_tick() {
        TICKS.fetch_add(1, Ordering::Relaxed);
        let requests = [0, 1, 3].map(|of| AllocRequest::unmovable().order(order(of)).depth(Depth::Atomic));
        let blocks = requests.map(|request| allocator().alloc(request));
        if blocks.iter().any(|block| block.is_err()) {
            WRONG.fetch_add(1, Ordering::Relaxed);
        }
    }
    leaves_no_trace(|| {
        const TICKS_WANTED: usize = 100;
        TICKS.store(0, Ordering::Relaxed);
        let before = tick::set_hook(Some(on_tick));
        smp::run_on_all(|cpu| {
            while TICKS.load(Ordering::Relaxed) < TICKS_WANTED {
                WRONG.fetch_add(churn(cpu, 100), Ordering::Relaxed);
            }
        });
        tick::set_hook(before);
        // A CPU can still be in its hook; another task on it starts only after that.
        smp::run_on_all(|_| ());
        check_eq(WRONG.swap(0, Ordering::Relaxed), 0)
    })
}

fn audits_are_exact_while_all_cpus_work() -> Outcome {
    const AUDITS: usize = 100;
    leaves_no_trace(|| {
        let inexact = AtomicUsize::new(0);
        let done = AtomicBool::new(false);
        smp::run_on_all(|cpu| {
            if cpu != CpuId::BOOT {
                while !done.load(Ordering::Relaxed) {
                    churn(cpu, 100);
                }
                return;
            }
            for _ in 0..AUDITS {
                churn(cpu, 100);
                if !allocator().audit().is_exact() {
                    inexact.fetch_add(1, Ordering::Relaxed);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        check_eq(inexact.into_inner(), 0)
    })
}

/// The traits of the `x86_64` crate, used as its users do: page tables come and go through them.
fn the_x86_64_crate_maps_pages_with_our_frames() -> Outcome {
    leaves_no_trace(|| {
        // SAFETY: no code of this kernel frees what it did not allocate.
        let mut frames = unsafe { PageTableFrames::new(allocator()) };
        let mut frame =
            || FrameAllocator::<Size4KiB>::allocate_frame(&mut frames).ok_or(fail(format_args!("no frame")));
        let (top, target) = (frame()?, frame()?);
        let mut table = empty_table_in(top);

        let page = Page::<Size4KiB>::containing_address(VirtAddr::new(0x1234_5678_9000));
        // SAFETY: no CPU uses the table.
        let mapped = unsafe { table.map_to(page, target, PageTableFlags::PRESENT, &mut frames) };
        mapped.map_err(|error| fail(format_args!("{error:?}")))?.ignore();
        check_eq(table.translate_page(page).ok(), Some(target))?;
        let (unmapped, flush) = table.unmap(page).map_err(|error| fail(format_args!("{error:?}")))?;
        flush.ignore();
        check_eq(unmapped, target)?;

        // SAFETY: nothing is mapped any more, and no CPU uses the table.
        unsafe { table.clean_up(&mut frames) };
        for frame in [top, target] {
            // SAFETY: the frame is ours and in no use.
            unsafe { frames.deallocate_frame(frame) };
        }
        Ok(())
    })
}
