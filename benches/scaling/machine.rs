//! The simulated machine: any number of CPUs, all run by one thread, and memory without contents.
//!
//! The thread chooses the current CPU with [`set_cpu`] between two calls to the allocator. A call
//! then does what it does on a machine with that many CPUs, as long as no CPU waits for another.

#![expect(unsafe_code, reason = "promises that one thread runs all CPUs, and that mapped memory is zeroed")]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::MmapMut;
use pageblock::{CpuId, MemoryMap, Metadata, Order, PAGE_SIZE, PageAllocator, PcpAccess, Platform, Tuning};

const GIB: u64 = 1 << 30;
/// The physical address of the first frame, so that all memory is in the zone Normal.
const BASE: u64 = 4 * GIB;
/// The order of a pageblock on x86_64.
pub(crate) const PAGEBLOCK: Order = Order::new(9);

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static BARRIERS: AtomicUsize = AtomicUsize::new(0);
/// The CPU count of the machine.
static CPUS: AtomicUsize = AtomicUsize::new(0);

/// Makes this the current CPU.
#[inline(always)]
pub(crate) fn set_cpu(cpu: usize) {
    CURRENT.store(cpu, Ordering::Relaxed);
}

/// The number of barriers on every CPU so far.
pub(crate) fn barriers() -> usize {
    BARRIERS.load(Ordering::Relaxed)
}

/// The platform of the allocator. It has no size, so that it does not shift the allocator's fields.
#[derive(Debug)]
pub(crate) struct Simulated;

impl Platform for Simulated {
    // SAFETY: one thread runs all CPUs, whose numbers are below the CPU count of the machine. The
    // current CPU changes only between calls, and nothing interrupts a call. A thread sees its own
    // stores, so no barrier is needed.
    const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|_| CPUS.load(Ordering::Relaxed)) };

    #[inline(always)]
    fn current_cpu(&self) -> CpuId {
        CpuId::new(CURRENT.load(Ordering::Relaxed))
    }

    fn barrier_on_every_cpu(&self) {
        BARRIERS.fetch_add(1, Ordering::Relaxed);
    }
}

/// The addresses of the allocator's records, by part.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The zones with their locks, free lists and counters.
    pub(crate) zones: Range<u64>,
    /// The pcplists of each CPU.
    pub(crate) pcplists: Range<u64>,
    /// The free blocks of each pageblock.
    pub(crate) areas: Range<u64>,
    /// A descriptor for each frame.
    pub(crate) frames: Range<u64>,
    /// The state of each pageblock.
    pub(crate) pageblocks: Range<u64>,
}

pub(crate) type Allocator = PageAllocator<'static, Simulated>;

/// An allocator whose memory is all free. It exists until the process ends.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) allocator: &'static Allocator,
    pub(crate) places: Places,
}

fn map_of(bytes: u64) -> MemoryMap<4> {
    let mut map = MemoryMap::with_capacity();
    map.add_usable(BASE..BASE + bytes).expect("one range");
    map
}

fn record_bytes(memory: u64, cpus: usize) -> u64 {
    let layout = Metadata::layout(&map_of(memory), cpus);
    layout.expect("a size that the records can name").size() as u64
}

/// The size of the frame descriptors of a pageblock, from the documentation of `Metadata`.
const FRAMES: u64 = 12 << PAGEBLOCK.get();
/// The size of the state of a pageblock.
const STATE: u64 = 8;

/// The size of the free lists of a pageblock: the rest of its records, a number of cache lines.
fn area() -> u64 {
    let more = 32 * GIB;
    let bytes = record_bytes(2 * more, 1) - record_bytes(more, 1);
    let rest = (bytes / (more / (PAGE_SIZE << PAGEBLOCK.get()))).checked_sub(FRAMES + STATE);
    let lines = rest.filter(|rest| rest.is_multiple_of(64) && *rest < 512);
    lines.expect("the layout of the records has changed: adapt this file")
}

/// The size of the zones, which are the first of the records: what is left of the records of one
/// CPU without the pcplists and the records of pageblocks.
fn zones() -> u64 {
    let memory = 32 * GIB;
    let pcplists = record_bytes(memory, 2) - record_bytes(memory, 1);
    let pageblocks = memory / (PAGE_SIZE << PAGEBLOCK.get()) * (area() + FRAMES + STATE);
    (record_bytes(memory, 1) - pcplists - pageblocks) / 128 * 128
}

impl Machine {
    /// Maps zeroed memory for the records and initialises the allocator.
    pub(crate) fn new(memory: u64, cpus: usize) -> Self {
        CPUS.store(cpus, Ordering::Relaxed);
        let map = map_of(memory);
        let size = record_bytes(memory, cpus);
        let records = MmapMut::map_anon(size as usize).expect("memory for the records");
        let start = Box::leak(Box::new(records)).as_mut_ptr();
        // SAFETY: the mapping has this length, is writable, is never unmapped, and has no other
        // user.
        let bytes = unsafe { slice::from_raw_parts_mut(start.cast::<MaybeUninit<u8>>(), size as usize) };
        // SAFETY: a new mapping is zeroed.
        let metadata =
            unsafe { Metadata::new_zeroed(bytes, &map, cpus) }.expect("the size is that of the layout");
        let tuning = Tuning::default().min_free_pages(0);
        let allocator = PageAllocator::new(Simulated, &map, metadata, tuning).expect("the map is valid");
        let allocator: &Allocator = Box::leak(Box::new(allocator));
        Self { allocator, places: Self::places(start.expose_provenance() as u64, size, memory) }
    }

    fn places(start: u64, size: u64, memory: u64) -> Places {
        let lists = start + zones();
        let blocks = memory / (PAGE_SIZE << PAGEBLOCK.get());
        // Counted from the end, because the size of the pcplists is not public.
        let states = start + size - (STATE * blocks).next_multiple_of(64);
        let frames = states - FRAMES * blocks;
        let areas = frames - area() * blocks;
        Places {
            zones: start..lists,
            pcplists: lists..areas,
            areas: areas..frames,
            frames: frames..states,
            pageblocks: states..start + size,
        }
    }
}
