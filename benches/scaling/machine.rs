//! The machine that both measurements run on: as many CPUs as wanted, played by one thread, over memory that is only numbers.
//!
//! The thread says which CPU it plays ([`play`]) and changes parts between two calls to the allocator, so that what a call
//! does is what it does on a machine with that many CPUs while none of them waits for another. Neighbours: [`storm`](crate::storm) and
//! [`sizes`](crate::sizes), which work on it.

#![expect(unsafe_code, reason = "promises that the CPUs are one thread, and that mapped memory is zeroed")]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::MmapMut;
use pageblock::{
    CpuId, MemoryMap, Metadata, Order, PAGE_SIZE, PageAllocator, PcpAccess, Platform, Tuning, X86_64,
};

const GIB: u64 = 1 << 30;
/// All memory lies from here on, so that it is one zone: Normal.
const BASE: u64 = 4 * GIB;
/// x86_64's pageblock.
pub(crate) const PAGEBLOCK: Order = Order::new(9);

static PLAYED: AtomicUsize = AtomicUsize::new(0);
static BARRIERS: AtomicUsize = AtomicUsize::new(0);

/// From now on the thread is this CPU.
#[inline(always)]
pub(crate) fn play(cpu: usize) {
    PLAYED.store(cpu, Ordering::Relaxed);
}

/// How often every CPU was asked for a barrier so far.
pub(crate) fn barriers() -> usize {
    BARRIERS.load(Ordering::Relaxed)
}

/// The CPUs. They take no room in the allocator, so that its cache lines are those of a kernel's.
#[derive(Debug)]
pub(crate) struct Played;

impl Platform for Played {
    // SAFETY: one thread plays every CPU, one after the other, below the count that the machine is made for. It changes parts between
    // calls only, nothing interrupts it, and what it has stored it sees: nobody needs a barrier.
    const PCP_ACCESS: PcpAccess = unsafe { PcpAccess::owner_only() };

    #[inline(always)]
    fn current_cpu(&self) -> CpuId {
        CpuId::new(PLAYED.load(Ordering::Relaxed))
    }

    fn barrier_on_every_cpu(&self) {
        BARRIERS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where the allocator keeps what, as addresses. Public sizes tell how long each part is.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The allocator's own value: the zones with their locks, free lists and counters.
    pub(crate) zones: Range<u64>,
    /// The lists of each CPU.
    pub(crate) pcplists: Range<u64>,
    /// The free blocks of each pageblock.
    pub(crate) areas: Range<u64>,
    /// A descriptor for each frame.
    pub(crate) frames: Range<u64>,
    /// The state of each pageblock.
    pub(crate) pageblocks: Range<u64>,
}

pub(crate) type Allocator = PageAllocator<'static, Played>;

/// An allocator of so much memory for so many CPUs, all of it free. It is there until the process ends.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) allocator: &'static Allocator,
    pub(crate) places: Places,
}

fn map_of(bytes: u64) -> MemoryMap<4> {
    let mut map = MemoryMap::new();
    map.add_usable(BASE..BASE + bytes).expect("one range");
    map
}

fn record_bytes(memory: u64, cpus: usize) -> u64 {
    let layout = Metadata::<X86_64>::layout(&map_of(memory), cpus);
    layout.expect("a size that the records can name").size() as u64
}

/// Bytes of records for each pageblock, as the metadata's documentation has them: its frames, its state.
const FRAMES: u64 = 12 << PAGEBLOCK.get();
const STATE: u64 = 1;

/// And its free blocks: the rest, which is some cache lines.
fn area() -> u64 {
    let more = 32 * GIB;
    let bytes = record_bytes(2 * more, 1) - record_bytes(more, 1);
    let rest = (bytes / (more / (PAGE_SIZE << PAGEBLOCK.get()))).checked_sub(FRAMES + STATE);
    let lines = rest.filter(|rest| rest.is_multiple_of(64) && *rest < 512);
    lines.expect("the records have changed: say here what is where")
}

impl Machine {
    /// Maps zeroed memory for the records and makes the allocator: all of initialisation.
    pub(crate) fn new(memory: u64, cpus: usize) -> Self {
        let map = map_of(memory);
        let size = record_bytes(memory, cpus);
        let records = MmapMut::map_anon(size as usize).expect("memory for the records");
        let start = Box::leak(Box::new(records)).as_mut_ptr();
        // SAFETY: a mapping of this length, writable, never unmapped, and ours alone.
        let bytes = unsafe { slice::from_raw_parts_mut(start.cast::<MaybeUninit<u8>>(), size as usize) };
        // SAFETY: fresh from the system, so zeroed.
        let metadata = unsafe { Metadata::new_zeroed(bytes, &map, cpus) }.expect("as much as was asked for");
        let tuning = Tuning::default().min_free_pages(0);
        let allocator = PageAllocator::new(Played, &map, metadata, tuning).expect("the map is in order");
        let allocator: &Allocator = Box::leak(Box::new(allocator));
        Self { allocator, places: Self::places(allocator, start.expose_provenance() as u64, size, memory) }
    }

    fn places(allocator: &Allocator, start: u64, size: u64, memory: u64) -> Places {
        let value = std::ptr::from_ref(allocator) as u64;
        let blocks = memory / (PAGE_SIZE << PAGEBLOCK.get());
        // From the end back: each CPU's part is as large as it likes.
        let states = start + size - (STATE * blocks).next_multiple_of(64);
        let frames = states - FRAMES * blocks;
        let areas = frames - area() * blocks;
        Places {
            zones: value..value + size_of_val(allocator) as u64,
            pcplists: start..areas,
            areas: areas..frames,
            frames: frames..states,
            pageblocks: states..start + size,
        }
    }
}
