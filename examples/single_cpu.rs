//! A minimal kernel with a page allocator: one CPU, no interrupts.
//!
//! It makes the allocator from the boot memory map. Then it allocates a page, maps it through page
//! tables that come from the allocator as well, writes it, unmaps it and frees it. At the end it
//! checks that every page is free again.
//! `cargo run -- example single_cpu` builds and boots it.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "page tables")]

mod boot;

use boot::println;
use bootloader_api::config::{BootloaderConfig, Mapping};
use bootloader_api::{BootInfo, entry_point};
use pageblock::interop::PageTableFrames;
use pageblock::{AllocRequest, MemoryMap, Order, PageAllocator, Platform, Tuning};
use spin::Once;
use x86_64::VirtAddr;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::mapper::{CleanUp, Mapper};
use x86_64::structures::paging::{OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame, Size4KiB};

/// The platform for one CPU without interrupts, which needs no method but the defaults.
struct SingleCpu;
impl Platform for SingleCpu {}

/// The page allocator. The library itself has no statics.
static PAGES: Once<PageAllocator<'static, SingleCpu>> = Once::new();

const CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::Dynamic);
    config
};
entry_point!(kernel_main, config = &CONFIG);

fn kernel_main(boot_info: &'static mut BootInfo) -> ! {
    let offset = boot_info.physical_memory_offset.into_option().expect("asked for in CONFIG");
    let pages = PAGES.call_once(|| allocator(boot_info, offset));
    println!("{} pages, {} of them free", pages.managed_count(), pages.free_count());
    print(pages);
    let free_before = pages.free_count();

    // Nothing is mapped near this address, so that three levels of page tables are needed.
    let page = Page::<Size4KiB>::containing_address(VirtAddr::new(0x5555_5555_0000));
    let pfn = pages.alloc_pages(AllocRequest::unmovable()).expect("a page");
    let frame = PhysFrame::<Size4KiB>::try_from(pfn).expect("below 2⁵² bytes");
    let mut tables = page_tables(offset);
    // SAFETY: this kernel frees only what it allocated itself.
    let mut frames = unsafe { PageTableFrames::new(pages) };
    let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
    // SAFETY: the frame is used only here, and nothing is mapped at this page.
    let flush = unsafe { tables.map_to(page, frame, flags, &mut frames) }.expect("tables");
    flush.flush();

    // The word is written through the new mapping and read through the direct map.
    let mapped = page.start_address().as_mut_ptr::<u64>();
    // SAFETY: the page is mapped and writable, and nothing else uses it.
    unsafe { mapped.write_volatile(0x5eed) };
    let other = VirtAddr::new(offset + pfn.start_address()).as_ptr::<u64>();
    // SAFETY: all physical memory is mapped at the offset.
    let read = unsafe { other.read_volatile() };
    assert_eq!(read, 0x5eed, "two mappings of one frame");
    println!("mapped {pfn} at {:#x}, with {} pages in use", page.start_address(), used(pages, free_before));
    assert_eq!(used(pages, free_before), 4, "the page and three levels of tables");

    // Everything is undone. A second free of the page is an error and does no damage.
    tables.unmap(page).expect("mapped").1.flush();
    // SAFETY: the tables below this page were made for it and map nothing else.
    unsafe { tables.clean_up_addr_range(Page::range_inclusive(page, page), &mut frames) };
    pages.free_pages(pfn, Order::ZERO).expect("ours");
    println!("freed; and once more: {}", pages.free_pages(pfn, Order::ZERO).expect_err("not ours any more"));

    assert_eq!(used(pages, free_before), 0, "every page is back");
    print(pages);
    assert!(pages.audit().is_exact(), "counters equal lists");
    assert!(pages.verify().is_ok(), "every invariant holds");
    println!("single_cpu: passed");
    boot::exit(boot::Exit::Passed)
}

/// Makes the allocator from the boot memory map.
fn allocator(boot_info: &BootInfo, offset: u64) -> PageAllocator<'static, SingleCpu> {
    let mut map = MemoryMap::new();
    map.add_bootloader_api(&boot_info.memory_regions).expect("few regions");
    // SAFETY: all physical memory is mapped at the offset, and usable regions are not in use.
    let made = unsafe { PageAllocator::new_at_offset(SingleCpu, &mut map, offset, 1, Tuning::default()) };
    let (pages, taken) = made.expect("enough memory");
    println!("{} pages of metadata, at {taken}", taken.len());
    pages
}

fn page_tables(offset: u64) -> OffsetPageTable<'static> {
    let root = VirtAddr::new(offset + Cr3::read().0.start_address().as_u64());
    // SAFETY: the active top-level table. This function is called once, so there is one reference.
    let root = unsafe { &mut *root.as_mut_ptr::<PageTable>() };
    // SAFETY: all physical memory is mapped at the offset.
    unsafe { OffsetPageTable::new(root, VirtAddr::new(offset)) }
}

/// The pages that have been allocated since `free_before`. The pcplists are drained first, because
/// pages on them do not count as free.
fn used(pages: &PageAllocator<'static, SingleCpu>, free_before: usize) -> usize {
    pages.drain_all();
    free_before - pages.free_count()
}

fn print(pages: &PageAllocator<'static, SingleCpu>) {
    println!("{}", pages.buddyinfo());
}
