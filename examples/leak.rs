//! A kernel that leaks pages on purpose, and finds the leak in three steps.
//!
//! A network driver forgets the buffers of bad packets. Later it writes to a buffer that it has
//! freed. The kernel is built with the feature `page_owner`, so that the allocator knows where each
//! block was allocated, and with poison on, so that a write after a free is found.
//! `cargo run -- example leak` builds and boots it.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "a page is written after it was freed")]

mod boot;

use boot::println;
use bootloader_api::config::{BootloaderConfig, Mapping};
use bootloader_api::{BootInfo, entry_point};
use pageblock::{AllocRequest, MemoryMap, Order, PageAllocator, Pfn, Platform, Tuning};

struct SingleCpu;
impl Platform for SingleCpu {}
type Pages = PageAllocator<'static, SingleCpu>;

/// The owner words of this kernel: which subsystem a block is for.
const NETWORK: u64 = 1;
const DISK: u64 = 2;

const CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::Dynamic);
    config
};
entry_point!(kernel_main, config = &CONFIG);

/// A buffer of the size that a driver needs. `#[track_caller]` makes its caller the place of the
/// allocation.
#[track_caller]
fn buffer(pages: &Pages, subsystem: u64) -> Pfn {
    pages.alloc_pages(AllocRequest::unmovable().order(Order::new(1)).owner(subsystem)).expect("memory")
}

/// Receives a packet. The bug: the buffer of a packet with a bad checksum is forgotten.
fn receive(pages: &Pages, number: u32) {
    let packet = buffer(pages, NETWORK);
    let bad_checksum = number % 10 == 3;
    if bad_checksum {
        return;
    }
    pages.free_pages(packet, Order::new(1)).expect("allocated above");
}

fn kernel_main(boot_info: &'static mut BootInfo) -> ! {
    let offset = boot_info.physical_memory_offset.into_option().expect("asked for in CONFIG");
    let mut map = MemoryMap::new();
    map.add_bootloader_api(&boot_info.memory_regions).expect("few regions");
    // SAFETY: all physical memory is mapped at the offset.
    let tuning = unsafe { Tuning::default().poison_at(offset) };
    // SAFETY: all physical memory is mapped at the offset, and usable regions are not in use.
    let made = unsafe { PageAllocator::new_at_offset(SingleCpu, &mut map, offset, 1, tuning) };
    let pages: &Pages = &made.expect("enough memory").0;

    let before = pages.verify().expect("every invariant holds").total();
    let cache = buffer(pages, DISK);
    for number in 0..100 {
        receive(pages, number);
    }
    println!("{}", pages.buddyinfo());

    // Step 1: how many pages are allocated that should not be?
    let after = pages.verify().expect("every invariant holds").total();
    let lost = after.allocated - before.allocated - 2;
    println!("1. {lost} pages more than expected are allocated\n");
    assert_eq!(lost, 20, "ten packets of two pages");

    // Step 2: for which subsystem?
    let by_owner = pages.census_by_owner::<8>();
    println!("2. by owner word:\n{by_owner}");
    assert_eq!((by_owner.pages_of(NETWORK), by_owner.pages_of(DISK)), (20, 2));

    // Step 3: where in the source?
    let by_site = pages.census_by_site::<8>();
    println!("3. by place in the source:\n{by_site}");
    let most = by_site.rows().next().expect("something is allocated");
    assert_eq!((most.pages, by_site.pages()), (20, after.allocated));
    let place = most.key.location().expect("the feature is on");
    assert!(place.file().ends_with("leak.rs"), "the line in `receive`");
    for block in pages.allocated_blocks().filter(|block| block.owner == NETWORK).take(2) {
        println!("   {block}");
    }

    // The leaked blocks are known, and can be freed. Then the driver writes to one of them.
    for block in pages.allocated_blocks().filter(|block| block.owner == NETWORK) {
        pages.free_pages(block.pfn, block.order).expect("it is allocated");
    }
    let again = buffer(pages, NETWORK);
    pages.free_pages(again, Order::new(1)).expect("allocated above");
    let stale = core::ptr::with_exposed_provenance_mut::<u8>((offset + again.start_address() + 64) as usize);
    // SAFETY: this is the bug. The page is mapped and free, so that no code uses it.
    unsafe { stale.write_volatile(1) };
    let next = buffer(pages, DISK);
    assert_eq!(next, again, "the block that was freed last");
    let write = pages.write_after_free().expect("it is found when the page is handed out");
    println!("\n{write}");
    assert_eq!((write.pfn, write.offset, write.value), (again, 64, 1));
    assert_eq!(pages.vmstat().machine.writes_after_free, 1);

    for block in [cache, next] {
        pages.free_pages(block, Order::new(1)).expect("allocated above");
    }
    assert_eq!(pages.verify().map(|report| report.total()), Ok(before), "every page is back");
    println!("leak: passed");
    boot::exit(boot::Exit::Passed)
}
