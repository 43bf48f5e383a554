//! The allocator of this repository, with every check that a release build has.

#![expect(unsafe_code, reason = "promises about CPUs and memory that the library asks of its kernel")]

use std::sync::atomic::{AtomicUsize, Ordering};

use pageblock::{
    AllocRequest, CpuId, MemoryMap, Metadata, Mobility, Order, PAGE_SIZE, PageAllocator, PcpAccess, Pfn,
    Platform, Tuning, X86_64,
};

use crate::arena::{Arena, BYTES, MARGIN};
use crate::cpu;
use crate::peer::{Peer, PeerId, Refused};

/// All frames are in one zone, Normal, which begins here.
const FIRST_BYTE: u64 = 4 << 30;

/// Frees that were refused where none may be.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
struct Host;

impl Platform for Host {
    // SAFETY: a thread's number is its own, below the CPU count given to `Metadata`, and does not change while it calls the allocator;
    // nothing interrupts a thread to call the allocator on it; `membarrier` is a barrier on every thread.
    const PCP_ACCESS: PcpAccess = unsafe { PcpAccess::owner_only() };

    #[inline(always)]
    fn current_cpu(&self) -> CpuId {
        CpuId::new(cpu::current())
    }

    fn barrier_on_every_cpu(&self) {
        cpu::barrier_on_every_cpu();
    }
}

/// See the top.
#[derive(Debug)]
pub(crate) struct Ours {
    allocator: PageAllocator<'static, Host>,
    metadata_bytes: usize,
    _arena: Arena,
}

impl Peer for Ours {
    const ID: PeerId = PeerId::Ours;

    fn new(arena: Arena) -> Self {
        let map = |bytes: usize| -> MemoryMap {
            let mut map = MemoryMap::new();
            map.add_usable(FIRST_BYTE..FIRST_BYTE + bytes as u64).expect("room for one range");
            map
        };
        // The records come off the top of the map: as much is added there, so that 4 GiB are left.
        let metadata_pages = {
            let mut pages = 0;
            loop {
                let layout = Metadata::<X86_64>::layout(&map(BYTES + pages * PAGE_SIZE as usize), cpu::CPUS)
                    .expect("a map that is not empty");
                let needed = layout.size().div_ceil(PAGE_SIZE as usize);
                if needed == pages {
                    break pages;
                }
                pages = needed;
            }
        };
        let metadata_bytes = metadata_pages * PAGE_SIZE as usize;
        assert!(metadata_bytes <= MARGIN);
        let mut map = map(BYTES + metadata_bytes);
        let offset = (arena.start() as u64).wrapping_sub(FIRST_BYTE);
        // SAFETY: the arena, which outlives the allocator, has a margin after the frames: the map's bytes lie in it at this
        // offset; it is not used otherwise, and no page of it has been touched since it was mapped, so that all is zero.
        let (metadata, taken) =
            unsafe { Metadata::carve_zeroed(&mut map, offset, cpu::CPUS) }.expect("room for the records");
        assert_eq!(taken.len(), metadata_pages);
        let tuning = Tuning::default().min_free_pages(0);
        let allocator = PageAllocator::new(Host, &map, metadata, tuning).expect("a map that is not empty");
        Self { allocator, metadata_bytes, _arena: arena }
    }

    fn first_frame(&self) -> Pfn {
        Pfn::containing(FIRST_BYTE)
    }

    #[inline(always)]
    fn alloc(&self, order: Order, mobility: Mobility) -> Option<Pfn> {
        self.allocator.alloc_pages(AllocRequest::new(order, mobility)).ok()
    }

    #[inline(always)]
    fn free(&self, pfn: Pfn, order: Order) {
        if self.allocator.free_pages(pfn, order).is_err() {
            refused();
        }
    }

    fn try_free(&self, pfn: Pfn, order: Order) -> Result<(), Refused> {
        self.allocator.free_pages(pfn, order).map_err(|_| Refused)
    }

    fn metadata_bytes(&self) -> Option<usize> {
        Some(self.metadata_bytes)
    }
}

/// What a kernel's caller does with an error that cannot be: it looks, and says so out of line.
#[cold]
#[inline(never)]
fn refused() {
    REFUSED.fetch_add(1, Ordering::Relaxed);
}

impl Drop for Ours {
    fn drop(&mut self) {
        assert_eq!(REFUSED.load(Ordering::Relaxed), 0, "frees were refused");
    }
}
