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
/// use pageblock::{PageAllocator, Platform, StaticPageAllocator, X86_64};
///
/// struct SingleCpu;
/// impl Platform for SingleCpu {}
/// static PAGES: StaticPageAllocator<SingleCpu> = StaticPageAllocator::empty();
/// /// Where the kernel maps all physical memory.
/// const OFFSET: u64 = 0xffff_8000_0000_0000;
///
/// struct Memory;
///
/// // SAFETY: all physical memory and all device memory is mapped at the offset, and buffers that
/// // are shared with devices are in that mapping.
/// unsafe impl VirtioMemory for Memory {
///     type Platform = SingleCpu;
///     type Geometry = X86_64;
///
///     fn allocator() -> Option<&'static PageAllocator<'static, SingleCpu>> {
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
///   [`phys_to_virt`](Self::phys_to_virt) says, and frames with adjacent numbers are adjacent
///   there.
/// - [`mmio_to_virt`](Self::mmio_to_virt) returns where the registers of devices are mapped.
/// - [`virt_to_phys`](Self::virt_to_phys) returns the physical address of every buffer that the
///   kernel hands to a driver, all bytes of which are adjacent in physical memory.
/// - As long as a buffer is in use, no code frees its frames but the driver: the methods of the
///   allocator that free are safe, and do not know who frees.
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
/// below [`VirtioMemory::BELOW`]. It is from the CMA area, if the kernel names one. If that fails,
/// or there is none, it is an exact number of unmovable pages of the buddy system
/// ([`PageAllocator::alloc_exact`]); and if that has no block so large, or only one that the device
/// cannot reach, a contiguous range for which movable pages are migrated
/// ([`PageAllocator::alloc_dma`]). If all of them fail, it is the error `DmaError` of
/// `virtio-drivers`. Not from interrupt handlers. Nothing migrates such memory before it is freed:
/// whoever isolates it gets the frame and the reason: contiguous ranges are pinned
/// ([`PageAllocator::pin_range`]), and other pages are unmovable.
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
        return pinned::<M>(range);
    }
    let last = Pfn::new(Pfn::containing(M::BELOW).number().saturating_sub(1));
    let request = AllocRequest::unmovable().highest_zone(ZoneKind::of::<M::Geometry>(last));
    if let Ok(exact) = allocator.alloc_exact(pages, request)
        && exact.range().bytes().end <= M::BELOW
    {
        return Some(exact.into_raw());
    }
    let range = allocator.alloc_dma(bytes, M::BELOW, PAGE_SIZE, &migrate).ok()?;
    pinned::<M>(ContigRange::into_raw(range))
}

/// The range, which is contiguous and ours, pinned: the device may access it from now on.
fn pinned<M: VirtioMemory>(range: PfnRange) -> Option<PfnRange> {
    M::allocator()?.pin_range(range).ok()?;
    Some(range)
}

/// Frees what [`allocate`] returned. Whether it was not refused.
fn free<M: VirtioMemory>(range: PfnRange) -> bool {
    let Some(allocator) = M::allocator() else { return false };
    // Unmovable blocks of the buddy system are not pinned, and need not be.
    let _ = allocator.unpin_range(range);
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

#[cfg(test)]
mod tests {
    use core::mem::MaybeUninit;
    use core::ptr::NonNull;

    use spin::Once;
    use virtio_drivers::{BufferDirection, Hal};

    use super::{VirtioHal, VirtioMemory};
    use crate::base::{AllocRequest, Order, PAGE_SIZE, Pfn, PfnRange, Platform, X86_64, ZoneKind};
    use crate::boot::{MemoryMap, Metadata};
    use crate::cma::CmaArea;
    use crate::page_allocator::{PageAllocator, Tuning};

    struct Bare;
    impl Platform for Bare {}
    type Allocator = PageAllocator<'static, Bare>;

    /// The physical address of the memory of a test, which its buffer stands for.
    const START: u64 = 1 << 20;
    const BYTES: usize = 32 << 20;

    /// The memory of one kernel: pages that are not zero, and an allocator of them.
    struct Kernel {
        memory: usize,
        allocator: Allocator,
        area: Option<CmaArea<'static>>,
    }

    impl Kernel {
        fn new(cma_pages: usize) -> Self {
            let memory = vec![0xaa_u8; BYTES + PAGE_SIZE as usize].leak();
            let memory = memory.as_mut_ptr().expose_provenance().next_multiple_of(PAGE_SIZE as usize);
            let map = MemoryMap::from_sorted(core::iter::once(START..START + BYTES as u64)).unwrap();
            let records = vec![MaybeUninit::uninit(); 2 << 20].leak();
            let metadata = Metadata::new(records, &map, 1).unwrap();
            let tuning = Tuning::default().min_free_pages(0);
            let allocator = PageAllocator::new(Bare, &map, metadata, tuning).unwrap();
            let area = (cma_pages > 0).then(|| {
                let bitmap = vec![0; CmaArea::bitmap_words(cma_pages)].leak();
                CmaArea::reserve(&allocator, cma_pages, ZoneKind::Normal, bitmap).unwrap()
            });
            Self { memory, allocator, area }
        }

        fn at(&self, address: u64) -> NonNull<u8> {
            let address = self.memory + (address - START) as usize;
            NonNull::new(core::ptr::with_exposed_provenance_mut(address)).unwrap()
        }

        fn of(&self, address: NonNull<u8>) -> u64 {
            (address.as_ptr().expose_provenance() - self.memory) as u64 + START
        }
    }

    /// A kernel in a static of its own, as a test needs it.
    macro_rules! kernel {
        ($cma_pages:expr, $below:expr) => {{
            static KERNEL: Once<Kernel> = Once::new();
            struct Memory;
            // SAFETY: the buffer has every byte of the map, in order.
            unsafe impl VirtioMemory for Memory {
                type Platform = Bare;
                type Geometry = X86_64;
                const BELOW: u64 = $below;

                fn allocator() -> Option<&'static Allocator> {
                    Some(&KERNEL.get()?.allocator)
                }

                fn area() -> Option<&'static CmaArea<'static>> {
                    KERNEL.get()?.area.as_ref()
                }

                fn phys_to_virt(address: u64) -> NonNull<u8> {
                    KERNEL.get().unwrap().at(address)
                }

                fn virt_to_phys(address: NonNull<u8>) -> u64 {
                    KERNEL.get().unwrap().of(address)
                }
            }
            // Without an allocator there is no memory, and nothing to free.
            assert_eq!(alloc::<Memory>(1), None);
            // SAFETY: refused.
            assert_eq!(unsafe { free::<Memory>(START, NonNull::dangling(), 1) }, -1);
            (KERNEL.call_once(|| Kernel::new($cma_pages)), Memory)
        }};
    }

    fn alloc<M: VirtioMemory>(pages: usize) -> Option<(PfnRange, NonNull<u8>)> {
        let (address, memory) = VirtioHal::<M>::dma_alloc(pages, BufferDirection::Both);
        let range = PfnRange::with_len(Pfn::containing(address), pages);
        (address != 0).then_some((range, memory))
    }

    /// # Safety
    ///
    /// That of `dma_dealloc`.
    unsafe fn free<M: VirtioMemory>(address: u64, memory: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { VirtioHal::<M>::dma_dealloc(address, memory, pages) }
    }

    /// Checks and frees what [`alloc`] returned.
    fn give_back<M: VirtioMemory>(kernel: &Kernel, (range, memory): (PfnRange, NonNull<u8>)) {
        assert_eq!(memory, kernel.at(range.start_address()));
        let bytes = range.len() * PAGE_SIZE as usize;
        // SAFETY: the memory is allocated, and the buffer has it.
        let bytes = unsafe { core::slice::from_raw_parts_mut(memory.as_ptr(), bytes) };
        assert!(bytes.iter().all(|byte| *byte == 0), "it is zeroed");
        bytes.fill(0xbb);
        // SAFETY: it is not used any more.
        assert_eq!(unsafe { free::<M>(range.start_address(), memory, range.len()) }, 0);
        // SAFETY: a double free, which is refused.
        assert_eq!(unsafe { free::<M>(range.start_address(), memory, range.len()) }, -1);
    }

    #[test]
    fn memory_is_from_the_area_and_else_from_the_buddy_system() {
        let (kernel, _memory) = kernel!(1024, u64::MAX);
        let area = kernel.area.as_ref().unwrap();
        fn of<M: VirtioMemory>(_: &M, kernel: &Kernel, area: &CmaArea<'static>) {
            let before = kernel.allocator.free_count();
            let first = alloc::<M>(1000).unwrap();
            assert!(area.range().covers(first.0));
            // 24 pages are left in the area.
            let second = alloc::<M>(25).unwrap();
            assert!(!area.range().covers(second.0) && !area.range().contains(second.0.start()));
            assert_eq!(kernel.allocator.allocated_count(), 1025, "25 pages and not 32");
            let third = alloc::<M>(24).unwrap();
            assert!(area.range().covers(third.0));
            assert_eq!(alloc::<M>(0), None);
            assert_eq!(alloc::<M>(1 << 20), None);
            assert_eq!(alloc::<M>(usize::MAX), None);
            for memory in [first, second, third] {
                give_back::<M>(kernel, memory);
            }
            kernel.allocator.drain_all();
            assert_eq!(kernel.allocator.free_count(), before);
            kernel.allocator.verify().unwrap();
        }
        of(&_memory, kernel, area);
    }

    #[test]
    fn memory_is_below_the_limit_and_larger_than_a_block_if_need_be() {
        const LIMIT: u64 = 8 << 20;
        let (kernel, _memory) = kernel!(0, LIMIT);
        fn of<M: VirtioMemory>(_: &M, kernel: &Kernel) {
            let mut taken = Vec::new();
            while let Some(memory) = alloc::<M>(32) {
                assert!(memory.0.bytes().end <= LIMIT, "{}", memory.0);
                taken.push(memory);
            }
            assert_eq!(taken.len(), 7 << 20 >> 17, "all that is below the limit");
            assert!(kernel.allocator.free_count() > 5000, "there is memory above it");
            for memory in taken {
                give_back::<M>(kernel, memory);
            }
            // Larger than the largest block.
            let large = alloc::<M>(1500).unwrap();
            assert!(large.0.bytes().end <= LIMIT);
            give_back::<M>(kernel, large);
            kernel.allocator.verify().unwrap();
        }
        of(&_memory, kernel);
    }

    #[test]
    fn nothing_migrates_memory_of_a_device_and_a_refusal_names_it() {
        let (kernel, _memory) = kernel!(512, u64::MAX);
        fn of<M: VirtioMemory>(_: &M, kernel: &Kernel) {
            let of_area = alloc::<M>(16).unwrap();
            let of_buddy = alloc::<M>(600).unwrap();
            for memory in [of_area, of_buddy] {
                let block = Order::new(9).block(Order::new(9).align_down(memory.0.start()));
                let error = kernel.allocator.isolate(block).unwrap_err();
                let reason = if memory == of_area { "pinned, " } else { "allocated, unmovable" };
                assert!(error.to_string().contains(reason), "{error}");
                let named = Pfn::new(memory.0.start().number().max(block.start().number()));
                assert!(error.to_string().starts_with(&format!("{named} cannot be migrated: ")), "{error}");
            }
            give_back::<M>(kernel, of_area);
            give_back::<M>(kernel, of_buddy);
        }
        of(&_memory, kernel);
    }

    #[test]
    fn a_buffer_of_the_kernel_is_shared_as_it_is() {
        let (kernel, _memory) = kernel!(0, u64::MAX);
        fn of<M: VirtioMemory>(_: &M, kernel: &Kernel) {
            let page = kernel.allocator.alloc(AllocRequest::unmovable()).unwrap();
            let address = page.start_address() + 64;
            let buffer = NonNull::slice_from_raw_parts(kernel.at(address), 512);
            // SAFETY: the buffer is ours.
            assert_eq!(unsafe { VirtioHal::<M>::share(buffer, BufferDirection::Both) }, address);
            // SAFETY: as above.
            unsafe { VirtioHal::<M>::unshare(address, buffer, BufferDirection::Both) };
            // SAFETY: nothing accesses the registers.
            let registers = unsafe { VirtioHal::<M>::mmio_phys_to_virt(START, 16) };
            assert_eq!(registers, kernel.at(START));
        }
        of(&_memory, kernel);
    }
}
