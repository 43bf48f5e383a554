//! `frame-alloc`: a lock-free buddy allocator on bitmaps, alone and behind per-CPU magazines.

#![expect(unsafe_code, reason = "the allocator asks for promises about the memory it manages")]

use std::num::NonZeroUsize;
use std::ptr::{NonNull, with_exposed_provenance_mut};

use frame_alloc::{
    CpuId, DepotAllocator, InitError, PageSize, PhysRange, PhysicalAllocator, Provenance, RegionInit,
    SummaryBuddyAllocator,
};
use pageblock::{Mobility, Order, PAGE_SIZE, Pfn};

use crate::arena::{Arena, BYTES, FRAMES, MARGIN};
use crate::cpu;
use crate::peer::{Peer, PeerId};

const PAGE: usize = PAGE_SIZE as usize;
const FRAME: PageSize = PageSize::from_log2(PAGE.trailing_zeros() as u8);
/// The number of orders: 0 to 10, as in the other allocators.
const ORDERS: usize = 11;

type Buddy = SummaryBuddyAllocator<ORDERS, Identity>;

/// The defaults of its documentation: magazines of 128 frames, a depot of 512.
type Cached = DepotAllocator<Buddy, Cpu, { cpu::CPUS }>;

struct Identity;

// SAFETY: the "physical" addresses are addresses of the arena, whose provenance is exposed.
unsafe impl Provenance for Identity {
    unsafe fn create(phys: usize) -> NonNull<u8> {
        NonNull::new(with_exposed_provenance_mut(phys)).expect("not at 0")
    }

    unsafe fn destroy<T>(pointer: NonNull<T>) -> usize {
        pointer.addr().get()
    }
}

struct Cpu;

impl CpuId for Cpu {
    #[inline(always)]
    fn current_cpu() -> usize {
        cpu::current()
    }
}

struct Adapter<A> {
    allocator: A,
    first_frame: Pfn,
    metadata_bytes: usize,
    _arena: Arena,
}

impl<A: PhysicalAllocator + RegionInit> Adapter<A> {
    fn new(allocator: A, arena: Arena) -> Self {
        let start = arena.start();
        let range = |base, len| PhysRange { base, len };
        // The crate reports the size of its bitmaps only in the error for a range that is too
        // small.
        let too_small = range(start - PAGE, PAGE);
        // SAFETY: the call fails, so nothing is registered.
        let refusal = unsafe { allocator.try_init(start - PAGE, PAGE + BYTES, &[too_small]) };
        let Err(InitError::MetadataWontFit { required_bytes }) = refusal else {
            panic!("bitmaps for {FRAMES} frames in one: {refusal:?}");
        };
        assert!(required_bytes <= MARGIN);
        // The bitmaps get a range of their own, so that the other range has exactly all frames.
        let records = range(start - required_bytes, required_bytes);
        // SAFETY: the arena has a margin before the frames, lives as long as the allocator, and has
        // no other user.
        unsafe { allocator.init(records.base, required_bytes + BYTES, &[records, range(start, BYTES)]) };
        let first_frame = Pfn::new(start / PAGE);
        Self { allocator, first_frame, metadata_bytes: required_bytes, _arena: arena }
    }

    #[inline(always)]
    fn alloc(&self, order: Order) -> Option<Pfn> {
        let address = self.allocator.allocate_physical(FRAME, count(order)).ok()?;
        Some(Pfn::new(address / PAGE))
    }

    #[inline(always)]
    fn free(&self, pfn: Pfn, order: Order) {
        // SAFETY: nothing uses the contents of the frames. A wrong free, which some workloads make,
        // can corrupt only the crate's bitmaps, because it has no pointers into frames.
        unsafe { self.allocator.deallocate_physical(FRAME, count(order), pfn.number() * PAGE) };
    }
}

macro_rules! adapter {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $allocator:expr) => {
        $(#[$doc])*
        pub(crate) struct $name(Adapter<$inner>);

        impl Peer for $name {
            const ID: PeerId = PeerId::$name;

            fn new(arena: Arena) -> Self {
                Self(Adapter::new($allocator, arena))
            }

            fn first_frame(&self) -> Pfn {
                self.0.first_frame
            }

            #[inline(always)]
            fn alloc(&self, order: Order, _: Mobility) -> Option<Pfn> {
                self.0.alloc(order)
            }

            #[inline(always)]
            fn free(&self, pfn: Pfn, order: Order) {
                self.0.free(pfn, order);
            }

            fn metadata_bytes(&self) -> Option<usize> {
                Some(self.0.metadata_bytes)
            }
        }
    };
}

adapter!(
    /// The adapter of the buddy allocator alone.
    Summary, Buddy, Buddy::new(FRAME)
);
adapter!(
    /// The adapter of the same behind per-CPU magazines and a shared depot.
    Depot, Cached, Cached::new(FRAME, Buddy::new(FRAME))
);

/// The number of frames in a block. The compiler sees that it is not 0.
#[inline(always)]
fn count(order: Order) -> NonZeroUsize {
    NonZeroUsize::new(1 << order.get()).expect("a power of two")
}
