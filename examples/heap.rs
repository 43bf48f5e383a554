//! A heap on top of the page allocator, with the crate `talc`.
//!
//! The page allocator is no `GlobalAlloc`, because it allocates frames and not bytes. A heap
//! allocates blocks from it when it runs out of memory; any heap crate that can grow piece by piece
//! can be used. This one starts empty and grows by 64 KiB, or by more if a request is larger.
//! `cargo run -- example heap` builds and boots it.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "a heap is made of raw memory")]

extern crate alloc;

mod boot;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::alloc::Layout;

use boot::println;
use bootloader_api::config::{BootloaderConfig, Mapping};
use bootloader_api::{BootInfo, entry_point};
use pageblock::{AllocRequest, MemoryMap, Order, PAGE_SIZE, PageAllocator, Platform, Tuning};
use spin::Once;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;
use talc::{TalcLock, min_first_heap_size};

struct SingleCpu;
impl Platform for SingleCpu {}

static PAGES: Once<PageAllocator<'static, SingleCpu>> = Once::new();
static OFFSET: Once<u64> = Once::new();

#[global_allocator]
static HEAP: TalcLock<spin::Mutex<()>, FromPages> = TalcLock::new(FromPages);

/// Grows the heap with blocks of the page allocator, which are never freed.
#[derive(Debug)]
struct FromPages;

/// The heap grows by sixteen pages: so it grows rarely, and such blocks are usually available.
const GROWTH: Order = Order::new(4);

// SAFETY: the page allocator never allocates from this heap.
unsafe impl Source for FromPages {
    fn acquire<B: Binning>(heap: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        // The first block also contains the metadata of the heap.
        let bytes = layout.size() + layout.align() + min_first_heap_size::<B>();
        let order = Order::covering(bytes.div_ceil(PAGE_SIZE as usize)).max(GROWTH);
        // Unmovable, because the kernel keeps pointers to heap objects.
        let request = AllocRequest::unmovable().order(order);
        let (Some(pages), Some(offset)) = (PAGES.get(), OFFSET.get()) else {
            return Err(());
        };
        let pfn = pages.alloc_pages(request).map_err(|_| ())?;
        let start = core::ptr::with_exposed_provenance_mut((offset + pfn.start_address()) as usize);
        // SAFETY: the block is allocated, mapped at the offset like all memory, and never freed.
        unsafe { heap.claim(start, order.pages() * PAGE_SIZE as usize) }.map(|_| ()).ok_or(())
    }
}

const CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::Dynamic);
    config
};
entry_point!(kernel_main, config = &CONFIG);

fn kernel_main(boot_info: &'static mut BootInfo) -> ! {
    let offset = boot_info.physical_memory_offset.into_option().expect("asked for in CONFIG");
    let mut map = MemoryMap::new();
    map.add_bootloader_api(&boot_info.memory_regions).expect("few regions");
    // SAFETY: all physical memory is mapped at the offset, and usable regions are not in use.
    let made = unsafe { PageAllocator::new_at_offset(SingleCpu, &mut map, offset, 1, Tuning::default()) };
    let (pages, _) = made.expect("enough memory");
    OFFSET.call_once(|| offset);
    let pages = PAGES.call_once(|| pages);
    let free_before = pages.free_count();

    let numbers: Vec<u64> = (0..100_000).collect();
    assert_eq!(numbers.iter().sum::<u64>(), 99_999 * 100_000 / 2);
    println!("a Vec of {} numbers: the heap took {} pages", numbers.len(), free_before - pages.free_count());

    let mut squares = BTreeMap::new();
    for number in (0..10_000_u64).rev() {
        squares.insert(number * number, number);
    }
    assert!(squares.values().copied().eq(0..10_000));
    assert_eq!(squares.range(99..).next(), Some((&100, &10)));
    println!("a BTreeMap of {} squares: {} pages", squares.len(), free_before - pages.free_count());

    // Freed memory returns to the heap, which uses it before it grows again.
    drop((numbers, squares));
    let grown = free_before - pages.free_count();
    for round in 0..100_u64 {
        let again: Vec<u64> = (0..10_000).map(|number| number ^ round).collect();
        assert_eq!(again[9_999], 9_999 ^ round);
    }
    assert_eq!(free_before - pages.free_count(), grown, "the heap grew although it had free memory");

    // A request that is larger than the largest block fails, which `try_reserve` reports.
    let mut too_much: Vec<u8> = Vec::new();
    assert!(too_much.try_reserve(1 << 30).is_err());

    println!("{}", pages.buddyinfo());
    assert!(pages.audit().is_exact() && pages.verify().is_ok());
    println!("heap: passed");
    boot::exit(boot::Exit::Passed)
}
