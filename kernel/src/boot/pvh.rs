//! PVH boot: makes a `BootInfo` from the structures that QEMU's `-kernel` leaves in memory.
//!
//! The structures are Xen's `hvm_start_info` and `hvm_memmap_table_entry`. The assembly in `entry`
//! calls [`start`] with the first 4 GiB mapped; memory above is mapped here.

#![expect(unsafe_code, reason = "reads what firmware left at physical addresses")]

use core::ffi::{CStr, c_void};
use core::ptr;

use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind, MemoryRegions, Optional};
use heapless::Vec;
use pageblock_protocol::config::MAX_LENGTH;
use spin::{Mutex, MutexGuard};
use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTable, PageTableFlags};

use crate::boot::config::PHYSICAL_MEMORY_OFFSET;

const START_INFO_MAGIC: u32 = 0x336e_c578;
const TYPE_RAM: u32 = 1;
const MAX_REGIONS: usize = 64;
const GIB: u64 = 1 << 30;
/// The memory that the assembly in `entry` has mapped.
const MAPPED_BY_ENTRY: u64 = 4 * GIB;
/// The memory that one top-level entry maps.
const MAX_MAPPED: u64 = 512 * GIB;

type Regions = Vec<MemoryRegion, MAX_REGIONS>;

#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C)]
struct MemoryMapEntry {
    start: u64,
    bytes: u64,
    kind: u32,
    reserved: u32,
}

// The `BootInfo` and what it refers to. The locks are taken once and never released.
static COMMAND_LINE: Mutex<Vec<u8, MAX_LENGTH>> = Mutex::new(Vec::new());
static REGIONS: Mutex<Regions> = Mutex::new(Regions::new());
static BOOT_INFO: Mutex<Option<BootInfo>> = Mutex::new(None);

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static boot_pdpt: u8;
    static boot_stack_start: u8;
    static boot_stack_end: u8;
    /// Defined by `entry_point!` in `main.rs`. Its argument is a `&'static mut BootInfo`.
    fn _start(boot_info: *mut c_void) -> !;
}

/// The first Rust function of a PVH boot.
pub(super) extern "C" fn start(start_info: u64) -> ! {
    // SAFETY: by the boot protocol the address of a start info below 4 GiB, still intact.
    let info = unsafe { &*at_physical::<StartInfo>(start_info) };
    assert_eq!(info.magic, START_INFO_MAGIC, "not a PVH start info");
    assert!(info.version >= 1, "PVH start info without a memory map");

    let regions = MutexGuard::leak(REGIONS.lock());
    read_memory_map(info, regions);
    reserve(regions, image());
    map_above_4_gib(regions);

    let mut boot_info = BootInfo::new(MemoryRegions::from(regions.as_mut_slice()));
    boot_info.physical_memory_offset = Optional::Some(PHYSICAL_MEMORY_OFFSET);
    boot_info.rsdp_addr = match info.rsdp {
        0 => Optional::None,
        rsdp => Optional::Some(rsdp),
    };
    if info.command_line != 0 {
        let line = copy_command_line(info.command_line);
        boot_info.ramdisk_addr = Optional::Some(line.as_ptr().expose_provenance() as u64);
        boot_info.ramdisk_len = line.len() as u64;
    }
    let image = image();
    boot_info.kernel_addr = image.start;
    boot_info.kernel_len = image.end - image.start;
    boot_info.kernel_stack_bottom = (&raw const boot_stack_start).addr() as u64;
    boot_info.kernel_stack_len = (&raw const boot_stack_end).addr() as u64 - boot_info.kernel_stack_bottom;
    let boot_info: &'static mut BootInfo = MutexGuard::leak(BOOT_INFO.lock()).insert(boot_info);
    // SAFETY: `entry_point!` checks that `kernel_main` takes such a reference.
    unsafe { _start(ptr::from_mut(boot_info).cast()) }
}

/// Copies the command line out of memory that the allocator will hand out.
fn copy_command_line(address: u64) -> &'static [u8] {
    // SAFETY: by the boot protocol a NUL-terminated string below 4 GiB.
    let line = unsafe { CStr::from_ptr(at_physical(address)) };
    let copy = MutexGuard::leak(COMMAND_LINE.lock());
    let copied = copy.extend_from_slice(line.to_bytes());
    assert!(copied.is_ok(), "a command line of more than {MAX_LENGTH} bytes");
    copy
}

/// The address in the direct map of a physical address that is mapped.
fn at_physical<T>(address: u64) -> *mut T {
    ptr::with_exposed_provenance_mut((PHYSICAL_MEMORY_OFFSET + address) as usize)
}

/// The physical address of a symbol of the image.
fn image_physical(symbol: *const u8) -> u64 {
    const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
    symbol.addr() as u64 - KERNEL_BASE
}

fn image() -> core::ops::Range<u64> {
    image_physical(&raw const __image_start)..image_physical(&raw const __image_end)
}

fn read_memory_map(info: &StartInfo, regions: &mut Regions) {
    let entries = at_physical::<MemoryMapEntry>(info.memory_map);
    for index in 0..info.memory_map_entries as usize {
        // SAFETY: the table has that many entries.
        let entry = unsafe { entries.add(index) };
        // SAFETY: the table lies below 4 GiB and is intact; entries are aligned.
        let entry = unsafe { &*entry };
        let kind = match entry.kind {
            TYPE_RAM => MemoryRegionKind::Usable,
            other => MemoryRegionKind::UnknownBios(other),
        };
        let end = entry.start.saturating_add(entry.bytes);
        push(regions, MemoryRegion { start: entry.start, end, kind });
    }
}

/// Removes `taken` from the usable regions and adds it as a region of the bootloader's.
fn reserve(regions: &mut Regions, taken: core::ops::Range<u64>) {
    for index in 0..regions.len() {
        let region = regions[index];
        if region.kind != MemoryRegionKind::Usable || taken.start >= region.end || taken.end <= region.start {
            continue;
        }
        let (start, end) = (taken.start.max(region.start), taken.end.min(region.end));
        regions[index] = MemoryRegion { start, end, kind: MemoryRegionKind::Bootloader };
        if region.start < start {
            push(regions, MemoryRegion { end: start, ..region });
        }
        if end < region.end {
            push(regions, MemoryRegion { start: end, ..region });
        }
    }
    regions.sort_unstable_by_key(|region| region.start);
}

fn push(regions: &mut Regions, region: MemoryRegion) {
    assert!(regions.push(region).is_ok(), "more than {MAX_REGIONS} memory regions");
}

/// Maps the memory above 4 GiB, with page tables at the end of the highest usable region below.
fn map_above_4_gib(regions: &mut Regions) {
    let usable = |region: &&MemoryRegion| region.kind == MemoryRegionKind::Usable;
    let end = regions.iter().filter(usable).map(|region| region.end).max().unwrap_or(0).min(MAX_MAPPED);
    let Some(beyond) = end.checked_sub(MAPPED_BY_ENTRY).filter(|&beyond| beyond > 0) else {
        return;
    };
    let directories = beyond.div_ceil(GIB);
    let host = regions
        .iter()
        .filter(usable)
        .filter(|region| region.end <= MAPPED_BY_ENTRY)
        .max_by_key(|region| region.end);
    let host = *host.expect("no memory below 4 GiB");
    let first = (host.end & !0xfff) - directories * 4096;
    assert!(first >= host.start, "no room for page tables");
    reserve(regions, first..host.end);

    let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
    // SAFETY: `entry` made the table; the CPU does not use the entries changed here.
    let pdpt = unsafe { &mut *at_physical::<PageTable>(image_physical(&raw const boot_pdpt)) };
    for directory in 0..directories {
        let frame = first + directory * 4096;
        let table = at_physical::<PageTable>(frame);
        // SAFETY: the frame was just reserved for this, and is mapped.
        unsafe { table.write(PageTable::new()) };
        // SAFETY: as above, and now it holds a table.
        let table = unsafe { &mut *table };
        let gib = MAPPED_BY_ENTRY / GIB + directory;
        for (index, entry) in table.iter_mut().enumerate() {
            let physical = gib * GIB + ((index as u64) << 21);
            entry.set_addr(PhysAddr::new(physical), flags | PageTableFlags::HUGE_PAGE);
        }
        pdpt[gib as usize].set_addr(PhysAddr::new(frame), flags);
    }
    // The TLB holds no entries that were not present, so nothing needs to be flushed.
}
