//! The trait `Hal` of the crate `virtio-drivers` 0.13.

#![expect(unsafe_code, reason = "the trait `Hal` is unsafe to implement, and its memory is zeroed here")]

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use crate::base::{
    AllocRequest, Geometry, Migrate, NoMigration, PAGE_SIZE, Pfn, PfnRange, Platform, ZoneKind,
};
use crate::cma::CmaArea;
use crate::contig::ContigRange;
use crate::page_allocator::PageAllocator;

/// What [`VirtioHal`] needs from a kernel: its allocator, and how memory is mapped. Feature
/// `virtio_drivers_013`.
///
/// ```
/// use core::ptr::NonNull;
/// use pageblock::interop::{VirtioHal, VirtioMemory};
/// use pageblock::{PageAllocator, SingleThreaded, StaticPageAllocator, X86_64};
///
/// static PAGES: StaticPageAllocator<SingleThreaded> = StaticPageAllocator::new();
/// /// Where the kernel maps all physical memory.
/// const OFFSET: u64 = 0xffff_8000_0000_0000;
///
/// struct Memory;
///
/// // SAFETY: all physical memory and all device memory is mapped at the offset, and buffers that
/// // are shared with devices are in that mapping.
/// unsafe impl VirtioMemory for Memory {
///     type Platform = SingleThreaded;
///     type Geometry = X86_64;
///
///     fn allocator() -> Option<&'static PageAllocator<'static, SingleThreaded>> {
///         PAGES.get()
///     }
///
///     fn phys_to_virt(address: u64) -> NonNull<u8> {
///         let address = core::ptr::with_exposed_provenance_mut((OFFSET + address) as usize);
///         NonNull::new(address).expect("above the offset")
///     }
///
///     fn virt_to_phys(address: NonNull<u8>) -> u64 {
///         address.addr().get() as u64 - OFFSET
///     }
/// }
///
/// type KernelHal = VirtioHal<Memory>;
/// ```
///
/// # Safety
///
/// - All memory of [`allocator`](Self::allocator) is mapped writable, for good, where
///   [`phys_to_virt`](Self::phys_to_virt) says, and frames with adjacent numbers are adjacent there.
/// - [`mmio_to_virt`](Self::mmio_to_virt) returns where the registers of devices are mapped.
/// - [`virt_to_phys`](Self::virt_to_phys) returns the physical address of every buffer that the
///   kernel hands to a driver, all bytes of which are adjacent in physical memory.
pub unsafe trait VirtioMemory: 'static {
    /// The platform of the allocator.
    type Platform: Platform + 'static;
    /// The geometry of the allocator.
    type Geometry: Geometry + 'static;

    /// The first physical address that the devices cannot reach. Default: they reach all memory.
    const BELOW: u64 = u64::MAX;

    /// The allocator, once it is made: that of a `static`.
    fn allocator() -> Option<&'static PageAllocator<'static, Self::Platform, Self::Geometry>>;

    /// A CMA area of the allocator, from which memory is taken first. Default: none.
    fn area() -> Option<&'static CmaArea<'static>> {
        None
    }

    /// Migrates the movable pages that are in the way. Default: nothing is migrated.
    fn migrate() -> impl Migrate {
        NoMigration
    }

    /// Where the memory at a physical address is mapped.
    fn phys_to_virt(address: u64) -> NonNull<u8>;

    /// The physical address of the memory that is mapped at `address`.
    fn virt_to_phys(address: NonNull<u8>) -> u64;

    /// Where `bytes` bytes of registers of a device are mapped, which are at that physical address.
    /// Default: as memory is.
    fn mmio_to_virt(address: u64, bytes: usize) -> NonNull<u8> {
        let _ = bytes;
        Self::phys_to_virt(address)
    }
}

/// Implements `Hal` of `virtio-drivers` with the allocator of a kernel. Feature
/// `virtio_drivers_013`.
///
/// **Memory for a device** (`dma_alloc`) is contiguous, starts at a page, is zeroed, and ends at or
/// below [`VirtioMemory::BELOW`]. It is from the CMA area, if the kernel names one. If that fails, or
/// there is none, it is an exact number of unmovable pages of the buddy system
/// ([`PageAllocator::alloc_exact`]); and if that has no block so large, or only one that the device
/// cannot reach, a contiguous range for which movable pages are migrated
/// ([`PageAllocator::alloc_dma`]). If all of them fail, it is the error `DmaError` of
/// `virtio-drivers`. Not from interrupt handlers. Nothing migrates such memory before it is freed:
/// whoever isolates it gets the frame and why, as for all unmovable memory.
///
/// **Buffers of the caller** (`share`) are not copied. They must be in memory that the device can
/// reach, and must not be in movable pages that [`Migrate`] would move meanwhile.
///
/// A wrong free (a double free, for instance) is refused and counted
/// ([`PageAllocator::refused_frees`]), and the result of `dma_dealloc` is -1.
pub struct VirtioHal<M>(PhantomData<M>);

impl<M> fmt::Debug for VirtioHal<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VirtioHal")
    }
}

/// Allocates that many pages below the limit.
fn allocate<M: VirtioMemory>(pages: usize) -> Option<PfnRange> {
    let allocator = M::allocator()?;
    let bytes = pages.checked_mul(PAGE_SIZE as usize).filter(|bytes| *bytes > 0)?;
    let migrate = M::migrate();
    if let Some(area) = M::area()
        && let Ok(range) = area.alloc_dma(allocator, bytes, M::BELOW, PAGE_SIZE, &migrate)
    {
        return Some(range);
    }
    let last = Pfn::new(Pfn::containing(M::BELOW).number().saturating_sub(1));
    let request = AllocRequest::unmovable().highest_zone(ZoneKind::of::<M::Geometry>(last));
    if let Ok(exact) = allocator.alloc_exact(pages, request)
        && exact.range().bytes().end <= M::BELOW
    {
        return Some(exact.into_raw());
    }
    allocator.alloc_dma(bytes, M::BELOW, PAGE_SIZE, &migrate).ok().map(ContigRange::into_raw)
}

/// Frees what [`allocate`] returned. Whether it was not refused.
fn free<M: VirtioMemory>(range: PfnRange) -> bool {
    let Some(allocator) = M::allocator() else { return false };
    match M::area() {
        // Unmovable memory is never in an area, so that only ranges of the area are there.
        Some(area) if area.range().covers(range) => area.free(allocator, range).is_ok(),
        _ => allocator.free_range(range).is_ok(),
    }
}

// SAFETY: in the order of the methods:
// - `dma_alloc`: the range has no other owner until it is freed (invariant I1). It is mapped as the
//   implementation of `VirtioMemory` promises, starts at a page, and is zeroed here.
// - `mmio_phys_to_virt`: the same promise.
// - `share`: the address of the buffer itself, by the same promise.
unsafe impl<M: VirtioMemory> Hal for VirtioHal<M> {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let Some(range) = allocate::<M>(pages) else { return (0, NonNull::dangling()) };
        let memory = M::phys_to_virt(range.start_address());
        // SAFETY: the range is ours, and mapped writable there as a whole.
        unsafe { memory.write_bytes(0, pages * PAGE_SIZE as usize) };
        (range.start_address(), memory)
    }

    unsafe fn dma_dealloc(paddr: PhysAddr, _: NonNull<u8>, pages: usize) -> i32 {
        if free::<M>(PfnRange::with_len(Pfn::containing(paddr), pages)) { 0 } else { -1 }
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, size: usize) -> NonNull<u8> {
        M::mmio_to_virt(paddr, size)
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        M::virt_to_phys(buffer.cast())
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
