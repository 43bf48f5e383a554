//! A handle that owns a block of 2ⁿ frames.

#![expect(unsafe_code, reason = "the caller promises where the bytes of a block are mapped")]

use core::mem::{self, MaybeUninit};
use core::{fmt, ptr, slice};

use crate::base::{AllocRequest, Geometry, Order, PAGE_SIZE, Pfn, PfnRange, Platform, Site, X86_64};
use crate::page_allocator::{AllocError, FreeError, PageAllocator};

/// A block of 2ⁿ frames that is freed when this is dropped.
///
/// All methods, and the drop, may be called in any context.
///
/// It is not `Clone`, so that safe code cannot free the block twice. It is for unmovable and
/// reclaimable blocks. The frames of a movable block change when it is migrated; its owner keeps
/// the frame number in its own page tables, and uses [`PageAllocator::alloc_pages`].
#[must_use = "dropping this frees the block"]
pub struct Pages<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    pfn: Pfn,
    order: Order,
}

impl<'a, 'm, P: Platform, G: Geometry> Pages<'a, 'm, P, G> {
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub(crate) fn alloc(
        allocator: &'a PageAllocator<'m, P, G>,
        request: AllocRequest,
    ) -> Result<Self, AllocError> {
        let pfn = allocator.alloc_at(request.at(Site::caller()))?;
        Ok(Self { allocator, pfn, order: request.order })
    }

    /// The first frame of the block.
    #[must_use]
    pub fn pfn(&self) -> Pfn {
        self.pfn
    }

    /// The physical address of the block's first byte.
    #[must_use]
    pub fn start_address(&self) -> u64 {
        self.pfn.start_address()
    }

    /// The order of the block.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// All frames of the block.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.order.block(self.pfn)
    }

    /// Splits the block into its lower and its upper half.
    ///
    /// # Errors
    ///
    /// Returns the handle if the order is 0, or if the block is being migrated.
    pub fn split(self) -> Result<(Self, Self), Self> {
        let half = self.order.down();
        let halves = [self.pfn, self.pfn.up(half.pages())].map(|pfn| (pfn, half));
        let split = |whole: &Self| whole.allocator.split_owned(whole.pfn, whole.order, halves.into_iter());
        if self.order == Order::ZERO || !split(&self) {
            return Err(self);
        }
        let allocator = self.allocator;
        let (pfn, _) = self.into_raw();
        let part = |pfn| Pages { allocator, pfn, order: half };
        Ok((part(pfn), part(pfn.up(half.pages()))))
    }

    /// Makes a handle for a block that is allocated without one.
    ///
    /// # Errors
    ///
    /// Those of [`PageAllocator::free_pages`]. Whether another handle owns the block is not
    /// checked; if one does, the second of the two frees is refused.
    pub fn from_raw(
        allocator: &'a PageAllocator<'m, P, G>,
        pfn: Pfn,
        order: Order,
    ) -> Result<Self, FreeError> {
        allocator.owner(pfn, order)?;
        Ok(Self { allocator, pfn, order })
    }

    /// The bytes of the block, whose contents are undefined, if physical memory is mapped.
    ///
    /// The allocator itself never accesses the frames that it manages.
    ///
    /// # Safety
    ///
    /// As long as the slice is used, every byte of the block at physical address `a` must be mapped
    /// writable at `physical_memory_offset + a`, and no other code or device may access it.
    pub unsafe fn bytes_at(&mut self, physical_memory_offset: u64) -> &mut [MaybeUninit<u8>] {
        let start = physical_memory_offset.wrapping_add(self.start_address()) as usize;
        let bytes = self.order.pages() * PAGE_SIZE as usize;
        // SAFETY: the caller ensures that the block, which this handle owns, is mapped there and
        // that no other code or device accesses it.
        unsafe { slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(start), bytes) }
    }

    /// Zeroes the block and returns its bytes.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # let ram = vec![7_u8; 16 << 20].leak().as_mut_ptr().expose_provenance() as u64;
    /// # let ram = ram.next_multiple_of(4096);
    /// # let offset = ram.wrapping_sub(1 << 20);
    /// # map.add_usable(0x10_0000..0x10_0000 + (15 << 20))?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 2 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// let mut table = pages.alloc(AllocRequest::unmovable())?;
    /// // SAFETY: all physical memory is mapped at the offset, and `table` owns the block.
    /// let bytes = unsafe { table.zero_at(offset) };
    /// assert!(bytes.len() == 4096 && bytes.iter().all(|&byte| byte == 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Safety
    ///
    /// As [`bytes_at`](Self::bytes_at).
    pub unsafe fn zero_at(&mut self, physical_memory_offset: u64) -> &mut [u8] {
        // SAFETY: the same conditions, which the caller ensures.
        let bytes = unsafe { self.bytes_at(physical_memory_offset) };
        bytes.fill(MaybeUninit::new(0));
        // SAFETY: every byte was just written, and the result keeps the borrow.
        unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
    }

    /// Ends the handle. The caller must free the block with [`PageAllocator::free_pages`].
    #[must_use = "the caller must free the block"]
    pub fn into_raw(self) -> (Pfn, Order) {
        let raw = (self.pfn, self.order);
        mem::forget(self);
        raw
    }
}

impl<P: Platform, G: Geometry> Drop for Pages<'_, '_, P, G> {
    fn drop(&mut self) {
        self.allocator.log_refused_free(self.pfn, self.allocator.free_pages(self.pfn, self.order));
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for Pages<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("pfn", &self.pfn).field("order", &self.order).finish()
    }
}
