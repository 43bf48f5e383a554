//! The page allocator of this kernel: made once, from the boot memory map.

use core::fmt;

use bootloader_api::BootInfo;
use bootloader_api::info::MemoryRegionKind;
use pageblock::{InitError, MapFull, MemoryMap, Metadata, PageAllocator, Tuning, X86_64};
use spin::Once;

use super::LOW_MEMORY_END;
use super::early::EarlyMemory;
use crate::platform::ThisMachine;
use crate::smp;

/// The type of this kernel's allocator.
pub(crate) type KernelAllocator = PageAllocator<'static, ThisMachine>;

static ALLOCATOR: Once<KernelAllocator> = Once::new();

/// This kernel's allocator.
pub(crate) fn allocator() -> &'static KernelAllocator {
    ALLOCATOR.get().expect("the allocator is made before anyone allocates")
}

/// Why there is no allocator.
#[derive(Debug)]
pub(crate) enum Error {
    /// The boot memory map has too many pieces.
    Map(MapFull),
    /// The map cannot be worked with.
    Init(InitError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(error) => write!(f, "{error}"),
            Self::Init(error) => write!(f, "{error}"),
        }
    }
}

/// Makes the allocator, for all CPUs that run, from all memory that is left.
pub(crate) fn init(boot_info: &BootInfo, mut early: EarlyMemory) -> Result<(), Error> {
    let mut map: MemoryMap = MemoryMap::new();
    // Only usable regions count: reserved ones can lie beyond a terabyte, and descriptors are made for
    // everything up to the end of the map.
    for region in boot_info.memory_regions.iter().filter(|region| region.kind == MemoryRegionKind::Usable) {
        map.add_usable(region.start..region.end).map_err(Error::Map)?;
    }
    map.reserve(0..LOW_MEMORY_END).map_err(Error::Map)?;

    let cpus = smp::cpu_count();
    let layout = Metadata::<X86_64>::layout(&map, cpus).map_err(Error::Init)?;
    let memory = early.bytes(layout.size());
    map.reserve(early.into_taken()).map_err(Error::Map)?;
    let metadata = Metadata::new(memory, &map, cpus).map_err(Error::Init)?;
    let allocator = PageAllocator::new(ThisMachine, &map, metadata, Tuning::default()).map_err(Error::Init)?;
    ALLOCATOR.call_once(|| allocator);
    Ok(())
}
