//! The frame allocator traits and frame types of the crate `x86_64` 0.15.

#![expect(unsafe_code, reason = "the traits of `x86_64` are unsafe to implement")]

use core::fmt;

use x86_64::PhysAddr;
use x86_64::structures::paging::{FrameAllocator, FrameDeallocator, PageSize, PhysFrame, Size2MiB, Size4KiB};

use crate::base::{AllocRequest, Depth, Geometry, Mobility, Order, Pfn, Platform, Site, X86_64, ZoneKind};
use crate::page_allocator::PageAllocator;

/// Implements `FrameAllocator` and `FrameDeallocator` of `x86_64` with a [`PageAllocator`].
///
/// It is for 4 KiB and 2 MiB frames. Feature `x86_64_015`. The frames are unmovable, because the
/// traits are for page tables. The methods take `&mut self`, but there may be any number of these
/// views of one allocator. A wrong free (a double free, or a frame of another size) is refused,
/// counted ([`PageAllocator::refused_frees`]) and logged, because `deallocate_frame` returns no
/// error.
pub struct PageTableFrames<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    depth: Depth,
    highest_zone: ZoneKind,
    owner: u64,
    site: Site,
}

impl<'a, 'm, P: Platform, G: Geometry> PageTableFrames<'a, 'm, P, G> {
    /// A view whose requests may use any zone, down to the min watermark.
    ///
    /// With the feature `page_owner`, the frames are allocated at the place of this call.
    ///
    /// # Safety
    ///
    /// `FrameAllocator` is an unsafe trait: its users rely on frames that are in no other use. As
    /// long as a frame from this view is in use, no code may free it but `deallocate_frame`: not
    /// with [`free_pages`](PageAllocator::free_pages) or another method of the allocator, which are
    /// safe and do not know who frees. A kernel keeps that promise if it frees only what it
    /// allocated itself.
    #[must_use]
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub unsafe fn new(allocator: &'a PageAllocator<'m, P, G>) -> Self {
        Self {
            allocator,
            depth: Depth::Normal,
            highest_zone: ZoneKind::Normal,
            owner: 0,
            site: Site::caller(),
        }
    }

    /// Sets the watermark depth of the requests. Default: [`Depth::Normal`].
    #[must_use]
    pub fn depth(self, depth: Depth) -> Self {
        Self { depth, ..self }
    }

    /// Sets the highest zone of the requests. Default: any zone.
    #[must_use]
    pub fn highest_zone(self, highest_zone: ZoneKind) -> Self {
        Self { highest_zone, ..self }
    }

    /// Sets the owner word of the frames. Default: 0.
    #[must_use]
    pub fn owner(self, owner: u64) -> Self {
        Self { owner, ..self }
    }

    fn allocate<S: PageSize>(&mut self) -> Option<PhysFrame<S>> {
        let request = AllocRequest::new(order_of::<S>(), Mobility::Unmovable)
            .depth(self.depth)
            .highest_zone(self.highest_zone)
            .owner(self.owner)
            .at(self.site);
        let pfn = self.allocator.alloc_at(request).ok()?;
        PhysFrame::from_start_address(PhysAddr::try_new(pfn.start_address()).ok()?).ok()
    }

    fn deallocate<S: PageSize>(&mut self, frame: PhysFrame<S>) {
        let pfn = Pfn::containing(frame.start_address().as_u64());
        self.allocator.log_refused_free(pfn, self.allocator.free_pages(pfn, order_of::<S>()));
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for PageTableFrames<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageTableFrames").field("depth", &self.depth).finish_non_exhaustive()
    }
}

const fn order_of<S: PageSize>() -> Order {
    Order::covering((S::SIZE / Size4KiB::SIZE) as usize)
}

// SAFETY: the trait requires unused frames. `alloc_pages` returns a block that has no other owner
// until it is freed (invariant I1), naturally aligned and of the requested size. Who made the view
// has promised that only its user frees it.
unsafe impl<P: Platform, G: Geometry> FrameAllocator<Size4KiB> for PageTableFrames<'_, '_, P, G> {
    fn allocate_frame(&mut self) -> Option<PhysFrame<Size4KiB>> {
        self.allocate()
    }
}

// SAFETY: as for 4 KiB.
unsafe impl<P: Platform, G: Geometry> FrameAllocator<Size2MiB> for PageTableFrames<'_, '_, P, G> {
    fn allocate_frame(&mut self) -> Option<PhysFrame<Size2MiB>> {
        self.allocate()
    }
}

impl<P: Platform, G: Geometry> FrameDeallocator<Size4KiB> for PageTableFrames<'_, '_, P, G> {
    unsafe fn deallocate_frame(&mut self, frame: PhysFrame<Size4KiB>) {
        self.deallocate(frame);
    }
}

impl<P: Platform, G: Geometry> FrameDeallocator<Size2MiB> for PageTableFrames<'_, '_, P, G> {
    unsafe fn deallocate_frame(&mut self, frame: PhysFrame<Size2MiB>) {
        self.deallocate(frame);
    }
}

impl<S: PageSize> From<PhysFrame<S>> for Pfn {
    fn from(frame: PhysFrame<S>) -> Self {
        Self::containing(frame.start_address().as_u64())
    }
}

/// The frame is above the 52 address bits of x86_64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotA4KiBFrame(pub Pfn);

impl fmt::Display for NotA4KiBFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is above the 52 address bits of x86_64", self.0)
    }
}

impl core::error::Error for NotA4KiBFrame {}

impl TryFrom<Pfn> for PhysFrame<Size4KiB> {
    type Error = NotA4KiBFrame;

    fn try_from(pfn: Pfn) -> Result<Self, Self::Error> {
        let fits = pfn.number() >> 40 == 0;
        let address = fits.then(|| PhysAddr::try_new(pfn.start_address()).ok()).flatten();
        address.and_then(|address| Self::from_start_address(address).ok()).ok_or(NotA4KiBFrame(pfn))
    }
}

#[cfg(test)]
mod tests {
    use core::mem::MaybeUninit;

    use x86_64::structures::paging::{FrameAllocator, FrameDeallocator, PhysFrame, Size2MiB, Size4KiB};

    use super::{PageTableFrames, order_of};
    use crate::base::{MemoryUse, Order, Pfn, PfnRange, Platform};
    use crate::boot::{MemoryMap, Metadata};
    use crate::page_allocator::{PageAllocator, Tuning};

    struct Bare;
    impl Platform for Bare {}

    #[test]
    fn frames_of_both_sizes_have_the_owner_word() {
        let mut map = MemoryMap::new();
        map.add_usable(0..64 << 20).unwrap();
        let layout = Metadata::layout(&map, 1).unwrap();
        let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
        let metadata = Metadata::new(memory, &map, 1).unwrap();
        let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default()).unwrap();
        // SAFETY: the frames are in no use.
        let mut frames = unsafe { PageTableFrames::new(&pages) }.owner(6);
        let small: PhysFrame<Size4KiB> = frames.allocate_frame().unwrap();
        let large: PhysFrame<Size2MiB> = frames.allocate_frame().unwrap();
        assert_eq!(pages.owner(small.into(), Order::ZERO), Ok(6));
        assert_eq!(pages.owner(large.into(), Order::new(9)), Ok(6));
    }

    #[test]
    fn refused_frees_are_counted() {
        let map = MemoryMap::from_sorted(core::iter::once(0x10_0000..0x100_0000)).unwrap();
        let memory = vec![MaybeUninit::uninit(); 2 << 20].leak();
        let metadata = Metadata::new(memory, &map, 1).unwrap();
        let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default()).unwrap();
        // SAFETY: the frames are in no use.
        let mut frames = unsafe { PageTableFrames::new(&pages) };
        let frame: PhysFrame<Size4KiB> = frames.allocate_frame().unwrap();
        // SAFETY: no frame is used. The second free is a double free, which is refused.
        unsafe { frames.deallocate_frame(frame) };
        assert_eq!(pages.refused_frees(), 0);
        // SAFETY: as above.
        unsafe { frames.deallocate_frame(frame) };
        assert_eq!((pages.refused_frees(), pages.allocated_count()), (1, 0));
    }

    #[test]
    fn frame_sizes_are_orders() {
        assert_eq!(order_of::<Size4KiB>(), Order::ZERO);
        assert_eq!(order_of::<Size2MiB>(), Order::new(9));
    }

    #[test]
    fn frames_convert_both_ways() {
        let frame = PhysFrame::<Size4KiB>::try_from(Pfn::new(77)).unwrap();
        assert_eq!(Pfn::from(frame), Pfn::new(77));
        assert!(PhysFrame::<Size4KiB>::try_from(Pfn::new(1 << 40)).is_err());
    }

    #[test]
    fn page_tables_are_not_in_movable_only_memory() {
        let mut map = MemoryMap::new();
        map.add_usable(0x1_0000_0000..0x1_0080_0000).unwrap();
        let slot = 0x1_0080_0000..0x1_0180_0000;
        map.add_reserved(slot.clone()).unwrap();
        let layout = Metadata::layout(&map, 1).unwrap();
        let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
        let metadata = Metadata::new(memory, &map, 1).unwrap();
        let tuning = Tuning::default().min_free_pages(0);
        let pages = PageAllocator::new(Bare, &map, metadata, tuning).unwrap();
        let slot = PfnRange::inside(slot);
        pages.add_memory(slot, MemoryUse::MovableOnly).unwrap();
        // SAFETY: the frames are in no use.
        let mut frames = unsafe { PageTableFrames::new(&pages) };
        let mut taken = Vec::new();
        while let Some(frame) = FrameAllocator::<Size2MiB>::allocate_frame(&mut frames) {
            taken.push(Pfn::from(frame));
        }
        assert_eq!((taken.len(), pages.free_count()), (4, slot.len()));
        assert!(FrameAllocator::<Size4KiB>::allocate_frame(&mut frames).is_none());
        assert!(!taken.iter().any(|pfn| slot.contains(*pfn)));
    }
}
