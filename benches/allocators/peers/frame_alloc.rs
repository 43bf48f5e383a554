//! `frame-alloc`: a lock-free buddy on bitmaps, bare and behind its per-CPU magazines.

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
/// Orders 0 to 10, as the other allocators.
const ORDERS: usize = 11;

type Buddy = SummaryBuddyAllocator<ORDERS, Identity>;

/// With the defaults of its documentation: magazines of 128, a depot of 512.
type Cached = DepotAllocator<Buddy, Cpu, { cpu::CPUS }>;

struct Identity;

// SAFETY: "physical" addresses are those of the arena, whose provenance is exposed.
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
        // How large its bitmaps are, it says when they do not fit.
        let too_small = range(start - PAGE, PAGE);
        // SAFETY: nothing is registered, as it fails.
        let refusal = unsafe { allocator.try_init(start - PAGE, PAGE + BYTES, &[too_small]) };
        let Err(InitError::MetadataWontFit { required_bytes }) = refusal else {
            panic!("bitmaps for {FRAMES} frames in one: {refusal:?}");
        };
        assert!(required_bytes <= MARGIN);
        // A range of its own for the bitmaps, so that the frames beside it are as many as everyone's.
        let records = range(start - required_bytes, required_bytes);
        // SAFETY: the arena has a margin before the frames, lives as long as the allocator, and is not used otherwise.
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
        // SAFETY: nothing is in the frames. (Where a workload frees what it must not, the crate's own state is at stake, not
        // anybody's memory: it has no pointer into frames.)
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
    /// The buddy alone.
    Summary, Buddy, Buddy::new(FRAME)
);
adapter!(
    /// Behind per-CPU magazines and a shared depot.
    Depot, Cached, Cached::new(FRAME, Buddy::new(FRAME))
);

/// The frames of a block. Never 0, which compilers see.
#[inline(always)]
fn count(order: Order) -> NonZeroUsize {
    NonZeroUsize::new(1 << order.get()).expect("a power of two")
}
