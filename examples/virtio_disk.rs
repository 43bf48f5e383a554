//! A kernel that reads a disk with the drivers of the crate `virtio-drivers`.
//!
//! The queue of the disk is memory of the page allocator, which `VirtioHal` allocates. So is the
//! buffer that the disk writes to. The launcher makes the disk: its blocks of 4 KiB begin with
//! their numbers. `cargo run -- example virtio_disk` builds and boots it.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "promises how memory is mapped, and ports of PCI")]

mod boot;

use core::ptr::NonNull;

use boot::println;
use bootloader_api::config::{BootloaderConfig, Mapping};
use bootloader_api::{BootInfo, entry_point};
use pageblock::interop::{VirtioHal, VirtioMemory};
use pageblock::{MemoryMap, PageAllocator, Platform, StaticPageAllocator, Tuning, X86_64};
use spin::Once;
use virtio_drivers::device::blk::{SECTOR_SIZE, VirtIOBlk};
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::{Cam, Command, ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use x86_64::instructions::port::Port;

/// The platform for one CPU without interrupts, which needs no method but the defaults.
struct SingleCpu;
impl Platform for SingleCpu {}

static PAGES: StaticPageAllocator<SingleCpu> = StaticPageAllocator::empty();
static OFFSET: Once<u64> = Once::new();

const CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::Dynamic);
    config
};
entry_point!(kernel_main, config = &CONFIG);

/// This kernel, as the drivers see it.
struct Memory;
type Hal = VirtioHal<Memory>;

// SAFETY: `boot.rs` maps the first 4 GiB, in which all memory and the registers of devices are, for
// good: at the offset, and at their own addresses, where the image and its stack are.
unsafe impl VirtioMemory for Memory {
    type Platform = SingleCpu;
    type Geometry = X86_64;

    fn allocator() -> Option<&'static PageAllocator<'static, SingleCpu>> {
        PAGES.get()
    }

    fn phys_to_virt(address: u64) -> NonNull<u8> {
        let address = core::ptr::with_exposed_provenance_mut((offset() + address) as usize);
        NonNull::new(address).expect("above the offset")
    }

    fn virt_to_phys(address: NonNull<u8>) -> u64 {
        let address = address.as_ptr().expose_provenance() as u64;
        address.checked_sub(offset()).unwrap_or(address)
    }
}

fn offset() -> u64 {
    *OFFSET.get().expect("set at boot")
}

/// The configuration space of PCI, through two ports.
struct ConfigPorts;

fn data_port(function: DeviceFunction, register: u8) -> Port<u32> {
    let address = 1 << 31 | Cam::MmioCam.cam_offset(function, register);
    // SAFETY: chooses the register that the next access is for.
    unsafe { Port::new(0xcf8).write(address) };
    Port::new(0xcfc)
}

impl ConfigurationAccess for ConfigPorts {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        // SAFETY: to read a register has no effect.
        unsafe { data_port(function, register).read() }
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, value: u32) {
        // SAFETY: `virtio-drivers` writes addresses and commands of the disk only.
        unsafe { data_port(function, register).write(value) };
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}

fn kernel_main(boot_info: &'static mut BootInfo) -> ! {
    let offset = boot_info.physical_memory_offset.into_option().expect("asked for in CONFIG");
    OFFSET.call_once(|| offset);
    let mut map = MemoryMap::new();
    map.add_bootloader_api(&boot_info.memory_regions).expect("few regions");
    // SAFETY: all physical memory is mapped at the offset, and usable regions are not in use.
    let made = unsafe { PAGES.init_at_offset(SingleCpu, &mut map, offset, 1, Tuning::default()) };
    let (pages, _) = made.expect("enough memory");
    println!("{}", pages.buddyinfo());
    let before = pages.allocated_count();

    // The disk, on PCI bus 0. QEMU's firmware has assigned its addresses.
    let mut root = PciRoot::new(ConfigPorts);
    let mut devices = root.enumerate_bus(0);
    let disk = devices.find(|(_, info)| virtio_device_type(info) == Some(DeviceType::Block));
    let (function, _) = disk.expect("a virtio disk");
    root.set_command(function, Command::MEMORY_SPACE | Command::BUS_MASTER);
    let transport = PciTransport::new::<Hal, _>(&mut root, function).expect("a virtio device");
    let mut disk = VirtIOBlk::<Hal, _>::new(transport).expect("memory for its queue");
    println!(
        "a disk of {} sectors; its queue has {} pages",
        disk.capacity(),
        pages.allocated_count() - before
    );

    // A buffer of 64 KiB below 16 MiB, which the disk writes to.
    let buffer = pages.alloc_dma(64 << 10, 16 << 20, 64 << 10, &pageblock::NoMigration).expect("memory");
    let memory = Memory::phys_to_virt(buffer.start_address());
    // SAFETY: the buffer is ours, and mapped as a whole.
    let bytes = unsafe { core::slice::from_raw_parts_mut(memory.as_ptr(), 64 << 10) };
    for block in [0, 1, 255] {
        disk.read_blocks(block * 8, &mut bytes[..SECTOR_SIZE]).expect("the disk has a MiB");
        let (number, _) = bytes.split_first_chunk().expect("a sector");
        println!("the sector {} begins with {}", block * 8, u64::from_le_bytes(*number));
        assert_eq!(u64::from_le_bytes(*number), block as u64, "the number of the block");
    }

    drop(buffer);
    drop(disk);
    assert_eq!(pages.allocated_count(), before, "every page is back");
    assert!(pages.audit().is_exact(), "counters equal lists");
    assert!(pages.verify().is_ok(), "every invariant holds");
    println!("virtio_disk: passed");
    boot::exit(boot::Exit::Passed)
}
