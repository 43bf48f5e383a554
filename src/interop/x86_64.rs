//! The frame allocator traits and frame types of the crate `x86_64` 0.15.

#![expect(unsafe_code, reason = "the traits of `x86_64` are unsafe to implement")]

use core::fmt;

use x86_64::PhysAddr;
use x86_64::structures::paging::{FrameAllocator, FrameDeallocator, PageSize, PhysFrame, Size2MiB, Size4KiB};

use crate::base::{AllocRequest, Depth, Geometry, Mobility, Order, Pfn, Platform, X86_64, ZoneKind};
use crate::page_allocator::PageAllocator;

/// Implements `FrameAllocator` and `FrameDeallocator` of `x86_64` with a [`PageAllocator`].
///
/// It is for 4 KiB and 2 MiB frames. Feature `x86_64_015`. The frames are unmovable, because the
/// traits are for page tables. The methods take `&mut self`, but there may be any number of these
/// views of one allocator. A wrong free (a double free, or a frame of another size) is refused and
/// logged, because `deallocate_frame` returns no error.
pub struct PageTableFrames<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    depth: Depth,
    highest_zone: ZoneKind,
    owner: u64,
}

impl<'a, 'm, P: Platform, G: Geometry> PageTableFrames<'a, 'm, P, G> {
    /// A view whose requests may use any zone, down to the min watermark.
    #[must_use]
    pub fn new(allocator: &'a PageAllocator<'m, P, G>) -> Self {
        Self { allocator, depth: Depth::Normal, highest_zone: ZoneKind::Normal, owner: 0 }
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
            .owner(self.owner);
        let pfn = self.allocator.alloc_pages(request).ok()?;
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
// until it is freed (invariant I1), naturally aligned and of the requested size.
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

    use x86_64::structures::paging::{FrameAllocator, PhysFrame, Size2MiB, Size4KiB};

    use super::{PageTableFrames, order_of};
    use crate::base::{Order, Pfn, Platform};
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
        let mut frames = PageTableFrames::new(&pages).owner(6);
        let small: PhysFrame<Size4KiB> = frames.allocate_frame().unwrap();
        let large: PhysFrame<Size2MiB> = frames.allocate_frame().unwrap();
        assert_eq!(pages.owner(small.into(), Order::ZERO), Ok(6));
        assert_eq!(pages.owner(large.into(), Order::new(9)), Ok(6));
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
}
