//! An allocator for a plain `static`: empty until it is initialised.

#![expect(unsafe_code, reason = "the kernel promises that physical memory is mapped")]

use core::fmt;

use crate::base::{AllocRequest, Geometry, InitError, Order, Pfn, PfnRange, Platform, X86_64};
use crate::boot::{MemoryMap, Metadata};
use crate::handles::{ExactPages, Pages};
use crate::page_allocator::{AllocError, FreeError, PageAllocator, Tuning};
use crate::sync::PlainOnce;

/// A [`PageAllocator`] for a plain `static`, which is empty until [`init`](Self::init).
///
/// It does what a `spin::Once<PageAllocator<..>>` does, without a crate for it. Before `init` it is
/// an allocator without memory: allocations fail with [`AllocError::NoMemory`], frees with
/// [`FreeError::Foreign`], and counts are 0. It has the methods that most code calls;
/// [`get`](Self::get) returns the allocator with all of them. Code that runs after the boot should
/// keep that reference: each call here first looks whether there is an allocator.
///
/// ```
/// use core::mem::MaybeUninit;
/// use pageblock::{
///     AllocRequest, MemoryMap, Metadata, Order, Platform, StaticPageAllocator, Tuning,
/// };
///
/// struct MyKernel;
/// impl Platform for MyKernel {}
///
/// static PAGES: StaticPageAllocator<MyKernel> = StaticPageAllocator::empty();
///
/// assert!(PAGES.alloc_pages(AllocRequest::unmovable()).is_err()); // no memory yet
///
/// let mut map = MemoryMap::new();
/// map.add_usable(0x10_0000..0x1000_0000)?;
/// let layout = Metadata::layout(&map, 1)?;
/// let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
/// let metadata = Metadata::new(memory, &map, 1)?;
/// PAGES.init(MyKernel, &map, metadata, Tuning::default())?;
///
/// let frame = PAGES.alloc_pages(AllocRequest::unmovable())?;
/// PAGES.free_pages(frame, Order::ZERO)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StaticPageAllocator<P: Platform, G: Geometry = X86_64> {
    allocator: PlainOnce<PageAllocator<'static, P, G>>,
}

impl<P: Platform, G: Geometry> StaticPageAllocator<P, G> {
    /// An allocator without memory.
    #[must_use]
    pub const fn empty() -> Self {
        Self { allocator: PlainOnce::new() }
    }

    /// Makes the allocator, as [`PageAllocator::new`] does, and returns it.
    ///
    /// Call it once, on the boot CPU. It calls no method of the platform but
    /// [`mask_interrupts`](Platform::mask_interrupts).
    ///
    /// # Errors
    ///
    /// Those of [`PageAllocator::new`]; it is still empty then.
    /// [`InitError::AlreadyInitialized`] if there is an allocator; it is unchanged then.
    pub fn init<const N: usize>(
        &self,
        platform: P,
        map: &MemoryMap<N>,
        metadata: Metadata<'static, G>,
        tuning: Tuning,
    ) -> Result<&PageAllocator<'static, P, G>, InitError> {
        self.init_with(|| Ok((PageAllocator::new(platform, map, metadata, tuning)?, ())))
            .map(|(allocator, ())| allocator)
    }

    /// Makes the allocator with the records taken from the map, as
    /// [`PageAllocator::new_at_offset`] does. Returns it, and the frames of the records.
    ///
    /// # Errors
    ///
    /// Those of [`PageAllocator::new_at_offset`]; it is still empty then.
    /// [`InitError::AlreadyInitialized`] if there is an allocator; nothing has changed then.
    ///
    /// # Safety
    ///
    /// Every usable byte of the map at physical address `a` must be mapped writable at virtual
    /// address `physical_memory_offset + a`, for good, and no other code may use it.
    /// It may have any contents, but must be initialised, as memory is that no Rust code has
    /// allocated.
    pub unsafe fn init_at_offset<const N: usize>(
        &self,
        platform: P,
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
        tuning: Tuning,
    ) -> Result<(&PageAllocator<'static, P, G>, PfnRange), InitError> {
        self.init_with(|| {
            // SAFETY: the same conditions, which the caller ensures.
            unsafe {
                PageAllocator::at_offset_with_geometry(platform, map, physical_memory_offset, cpus, tuning)
            }
        })
    }

    fn init_with<T>(
        &self,
        make: impl FnOnce() -> Result<(PageAllocator<'static, P, G>, T), InitError>,
    ) -> Result<(&PageAllocator<'static, P, G>, T), InitError> {
        let mut more = None;
        let allocator = self.allocator.try_call_once(|| {
            let (allocator, result) = make()?;
            more = Some(result);
            Ok::<_, InitError>(allocator)
        })?;
        // Of two calls at the same time, one makes the allocator, and the other waits for it.
        more.map(|more| (allocator, more)).ok_or(InitError::AlreadyInitialized)
    }

    /// The allocator; `None` before [`init`](Self::init) has ended. Any context.
    #[must_use]
    pub fn get(&self) -> Option<&PageAllocator<'static, P, G>> {
        self.allocator.get()
    }

    /// As [`PageAllocator::alloc`].
    ///
    /// # Errors
    ///
    /// Those of [`PageAllocator::alloc`], and [`AllocError::NoMemory`] before the initialisation.
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc(&self, request: AllocRequest) -> Result<Pages<'_, 'static, P, G>, AllocError> {
        self.get().ok_or(no_memory(request))?.alloc(request)
    }

    /// As [`PageAllocator::alloc_pages`].
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_pages(&self, request: AllocRequest) -> Result<Pfn, AllocError> {
        self.get().ok_or(no_memory(request))?.alloc_pages(request)
    }

    /// As [`PageAllocator::alloc_exact`].
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_exact(
        &self,
        pages: usize,
        request: AllocRequest,
    ) -> Result<ExactPages<'_, 'static, P, G>, AllocError> {
        self.get().ok_or(no_memory(request.order(Order::covering(pages))))?.alloc_exact(pages, request)
    }

    /// As [`PageAllocator::free_pages`].
    ///
    /// # Errors
    ///
    /// Those of [`PageAllocator::free_pages`], and [`FreeError::Foreign`] before the
    /// initialisation.
    pub fn free_pages(&self, pfn: Pfn, order: Order) -> Result<(), FreeError> {
        self.get().ok_or(FreeError::Foreign { pfn })?.free_pages(pfn, order)
    }

    /// As [`PageAllocator::free_range`].
    ///
    /// # Errors
    ///
    /// Those of [`PageAllocator::free_range`], and [`FreeError::Foreign`] before the
    /// initialisation.
    pub fn free_range(&self, range: PfnRange) -> Result<(), FreeError> {
        self.get().ok_or(FreeError::Foreign { pfn: range.start() })?.free_range(range)
    }

    /// As [`PageAllocator::free_count`]; 0 before the initialisation.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.get().map_or(0, PageAllocator::free_count)
    }

    /// As [`PageAllocator::allocated_count`]; 0 before the initialisation.
    #[must_use]
    pub fn allocated_count(&self) -> usize {
        self.get().map_or(0, PageAllocator::allocated_count)
    }
}

/// What an allocator without memory answers.
const fn no_memory(request: AllocRequest) -> AllocError {
    let AllocRequest { order, mobility, highest_zone, .. } = request;
    AllocError::NoMemory { order, mobility, highest_zone }
}

impl<P: Platform, G: Geometry> fmt::Debug for StaticPageAllocator<P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.get().is_some() { "StaticPageAllocator" } else { "StaticPageAllocator(empty)" })
    }
}
