//! The page allocator of this kernel and its CMA area, made once from the boot memory map.

use core::fmt;

use bootloader_api::BootInfo;
use pageblock::{
    CmaArea, CmaError, InitError, MapFull, MemoryMap, Metadata, PAGE_SIZE, PageAllocator, Pages, Platform,
    Tuning, X86_64, ZoneKind,
};
use spin::{Mutex, Once};

use crate::memory::platform::{DefaultMode, ThisMachine};
use crate::memory::stopwatch::Stopwatch;
use crate::physical::early::EarlyMemory;
use crate::smp;

/// The type of the page allocator.
pub(crate) type KernelAllocator = PageAllocator<'static, ThisMachine>;

/// An allocator in the default access mode.
pub(crate) type DefaultAllocator = PageAllocator<'static, DefaultMode>;

/// An allocator of a machine with many CPUs, and room for the bitmap of its CMA area.
#[derive(Debug)]
pub(crate) struct ManyCpus {
    pub(crate) allocator: PageAllocator<'static, Stopwatch>,
    /// Until the area is made.
    pub(crate) bitmap: Mutex<Option<&'static mut [u64]>>,
}

impl ManyCpus {
    /// The size of the CMA area.
    pub(crate) const CMA_PAGES: usize = (16 << 30) / PAGE_SIZE as usize;
}

static ALLOCATOR: Once<KernelAllocator> = Once::new();
static DEFAULT: Once<DefaultAllocator> = Once::new();
static MANY_CPUS: Once<ManyCpus> = Once::new();
static CMA: Once<CmaArea<'static>> = Once::new();

/// An allocated block, as a value that owns it.
pub(crate) type Block<'a> = Pages<'a, 'static, ThisMachine, X86_64>;

/// The page allocator.
pub(crate) fn allocator() -> &'static KernelAllocator {
    ALLOCATOR.get().expect("the page allocator is used before `page_allocator::init`")
}

/// The allocator in the default access mode that the benchmark measures, if it was made. Its frames
/// do not exist, which an allocator does not notice: it never accesses a frame.
pub(crate) fn default_mode() -> Option<&'static DefaultAllocator> {
    DEFAULT.get()
}

/// The allocator whose masked times the benchmark measures, if it was made. Its frames do not
/// exist.
pub(crate) fn many_cpus() -> Option<&'static ManyCpus> {
    MANY_CPUS.get()
}

/// The memory that the allocator manages, in bytes; 0 before it is made.
pub(crate) fn managed_bytes() -> u64 {
    ALLOCATOR.get().map_or(0, |allocator| allocator.managed_count() as u64 * PAGE_SIZE)
}

/// The CMA area, unless the command line says `cma=0`.
pub(crate) fn cma() -> Option<&'static CmaArea<'static>> {
    CMA.get()
}

/// Why there is no allocator, or no CMA area.
#[derive(Debug)]
pub(crate) enum Error {
    /// The boot memory map has too many pieces.
    Map(MapFull),
    /// The allocator cannot use the map.
    Init(InitError),
    /// The allocator is made, but has no room for the CMA area.
    Cma(CmaError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(error) => write!(f, "memory map: {error}"),
            Self::Init(error) => write!(f, "memory map: {error}"),
            Self::Cma(error) => write!(f, "CMA area: {error}"),
        }
    }
}

/// An address beyond the memory of every virtual machine that runs this kernel.
const ABSENT: u64 = 1 << 40;

/// Makes the allocator from all remaining memory, for all online CPUs, and then the CMA area.
/// Before them, if `for_benchmark`, those of [`default_mode`] and [`many_cpus`].
// Not inlined, so that its large locals leave the stack of the boot CPU when it returns.
#[inline(never)]
pub(crate) fn init(
    boot_info: &BootInfo,
    mut early: EarlyMemory,
    cma_mib: u32,
    tuning: Tuning,
    for_benchmark: bool,
) -> Result<(), Error> {
    let mut map = MemoryMap::new();
    map.add_bootloader_api(&boot_info.memory_regions).map_err(Error::Map)?;
    let cma_pages = cma_mib as usize * ((1 << 20) / PAGE_SIZE as usize);
    // An area that is larger than memory is refused below.
    let bitmap = early.words(CmaArea::bitmap_words(cma_pages.min(map.usable_frames())));
    let cpus = smp::cpu_count();
    if for_benchmark {
        let allocator = absent(DefaultMode, 1 << 30, cpus, tuning, &mut early).map_err(Error::Init)?;
        DEFAULT.call_once(|| allocator);
        // 4 GiB beside the CMA area.
        let bytes = (ManyCpus::CMA_PAGES as u64 * PAGE_SIZE) + (4 << 30);
        let allocator = absent(Stopwatch, bytes, Stopwatch::CPUS, tuning, &mut early).map_err(Error::Init)?;
        let bitmap = Mutex::new(Some(early.words(CmaArea::bitmap_words(ManyCpus::CMA_PAGES))));
        MANY_CPUS.call_once(|| ManyCpus { allocator, bitmap });
    }
    let layout = Metadata::layout(&map, cpus).map_err(Error::Init)?;
    let memory = early.bytes(layout.size());
    map.reserve(early.into_taken()).map_err(Error::Map)?;
    let metadata = Metadata::new(memory, &map, cpus).map_err(Error::Init)?;
    let allocator = PageAllocator::new(ThisMachine, &map, metadata, tuning).map_err(Error::Init)?;
    let allocator = ALLOCATOR.call_once(|| allocator);

    if cma_pages > 0 {
        let area = CmaArea::reserve(allocator, cma_pages, ZoneKind::Normal, bitmap).map_err(Error::Cma)?;
        CMA.call_once(|| area);
    }
    Ok(())
}

/// Makes an allocator of frames that do not exist.
fn absent<P: Platform>(
    platform: P,
    bytes: u64,
    cpus: usize,
    tuning: Tuning,
    early: &mut EarlyMemory,
) -> Result<PageAllocator<'static, P>, InitError> {
    let mut map: MemoryMap = MemoryMap::new();
    map.add_usable(ABSENT..ABSENT + bytes).expect("a map with one piece");
    let memory = early.bytes(Metadata::layout(&map, cpus)?.size());
    let metadata = Metadata::new(memory, &map, cpus)?;
    PageAllocator::new(platform, &map, metadata, tuning)
}
