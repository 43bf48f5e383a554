//! pageblock, with every check of a release build, in both access modes of its pcplists.

#![expect(unsafe_code, reason = "promises about CPUs and memory that the library asks of its kernel")]

use std::sync::atomic::{AtomicUsize, Ordering};

use pageblock::{
    AllocRequest, CpuId, MemoryMap, Metadata, Mobility, Order, PAGE_SIZE, PageAllocator, PcpAccess, Pfn,
    Platform, Tuning,
};

use crate::arena::{Arena, BYTES, MARGIN};
use crate::cpu;
use crate::peer::{Peer, PeerId, Refused};

/// The physical address of the first frame, so that all frames are in the zone Normal.
const FIRST_BYTE: u64 = 4 << 30;

/// The number of frees that were refused although they were right.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// A platform with the access mode that an entry of the table measures.
pub(crate) trait Mode: Platform + Sync {
    const ID: PeerId;
    const PLATFORM: Self;
}

/// The opt-in mode: a CPU reaches its pcplists without a lock and with interrupts enabled.
#[derive(Debug)]
pub(crate) struct OwnerOnly;

/// The default mode: a CPU reaches its pcplists under a spin lock and with interrupts masked.
///
/// Masking costs nothing here, because a process cannot mask interrupts.
#[derive(Debug)]
pub(crate) struct Locked;

impl Mode for OwnerOnly {
    const ID: PeerId = PeerId::Ours;
    const PLATFORM: Self = Self;
}

impl Mode for Locked {
    const ID: PeerId = PeerId::OursDefault;
    const PLATFORM: Self = Self;
}

impl Platform for Locked {
    #[inline(always)]
    fn current_cpu(&self) -> CpuId {
        CpuId::new(cpu::current())
    }
}

impl Platform for OwnerOnly {
    // SAFETY: each thread has a number of its own, below the CPU count given to `Metadata`, which
    // does not change during a call; nothing that interrupts a thread calls the allocator;
    // `membarrier` is a barrier on every thread.
    const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|_| cpu::CPUS) };

    #[inline(always)]
    fn current_cpu(&self) -> CpuId {
        CpuId::new(cpu::current())
    }

    fn barrier_on_every_cpu(&self) {
        cpu::barrier_on_every_cpu();
    }
}

/// The adapter of pageblock.
#[derive(Debug)]
pub(crate) struct Ours<M: Mode> {
    allocator: PageAllocator<'static, M>,
    metadata_bytes: usize,
    _arena: Arena,
}

impl<M: Mode> Peer for Ours<M> {
    const ID: PeerId = M::ID;

    /// Makes the allocator as the README does.
    fn new(arena: Arena) -> Self {
        let map = |bytes: usize| -> MemoryMap {
            let mut map = MemoryMap::new();
            map.add_usable(FIRST_BYTE..FIRST_BYTE + bytes as u64).expect("room for one range");
            map
        };
        // The records are taken from the top of the map. The map is that much larger than 4 GiB.
        let metadata_pages = {
            let mut pages = 0;
            loop {
                let layout = Metadata::layout(&map(BYTES + pages * PAGE_SIZE as usize), cpu::CPUS)
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
        // SAFETY: at this offset, all bytes of the map are in the arena, which has a margin after
        // the frames. The arena outlives the allocator and has no other user.
        let carved = unsafe { Metadata::carve(&mut map, offset, cpu::CPUS) };
        let (metadata, taken) = carved.expect("room for the records");
        assert_eq!(taken.len(), metadata_pages);
        let tuning = Tuning::default().min_free_pages(0);
        let allocator =
            PageAllocator::new(M::PLATFORM, &map, metadata, tuning).expect("a map that is not empty");
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

/// Records an error that should not occur. It is out of line, as such code is in a kernel.
#[cold]
#[inline(never)]
fn refused() {
    REFUSED.fetch_add(1, Ordering::Relaxed);
}

impl<M: Mode> Drop for Ours<M> {
    fn drop(&mut self) {
        assert_eq!(REFUSED.load(Ordering::Relaxed), 0, "frees were refused");
    }
}
