//! The memory that the allocator keeps its own records in: given by the caller, laid out here.
//!
//! Three arrays in one piece of memory: pcplists (one cache-aligned slot for each CPU and zone), frame descriptors
//! (16 bytes for each frame of the map's span, holes included) and pageblock states (a byte for each pageblock). This
//! is one of the few files with `unsafe`: it turns raw memory into those arrays. Neighbours:
//! [`memory_map`](crate::memory_map) says how large, [`page_allocator`](crate::page_allocator) uses them.

#![expect(unsafe_code, reason = "lays typed arrays out in raw memory")]

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::slice;

use crate::error::InitError;
use crate::frame::FrameDesc;
use crate::geometry::{Geometry, X86_64};
use crate::memory_map::MemoryMap;
use crate::order::Order;
use crate::pageblock::BlockDesc;
use crate::pcp::{CpuLists, limits::room};
use crate::pfn::{PAGE_SIZE, Pfn, PfnRange};
use crate::request::ZoneKind;
use crate::sync::PlainU32;

/// Records for the frames of one memory map and a number of CPUs.
#[derive(Debug)]
pub struct Metadata<'m, G: Geometry = X86_64> {
    pub(crate) frames: &'m [FrameDesc],
    pub(crate) blocks: &'m [BlockDesc],
    pub(crate) lists: &'m [CpuLists<'m>],
    pub(crate) span: PfnRange,
    geometry: PhantomData<fn() -> G>,
}

/// How many elements each array has.
struct Sizes {
    frames: usize,
    blocks: usize,
    cpus: usize,
    /// Places on the lists of each CPU.
    places: usize,
    span: PfnRange,
}

/// Where each array begins, and the layout of all.
struct Offsets {
    all: Layout,
    places: usize,
    frames: usize,
    blocks: usize,
}

impl Sizes {
    /// The span is widened to whole pageblocks and largest blocks, so that a buddy or a pageblock never lies
    /// partly inside.
    fn new<const N: usize, G: Geometry>(map: &MemoryMap<N>, cpus: usize) -> Result<Self, InitError> {
        const { G::CHECKED };
        let usable = map.span().ok_or(InitError::EmptyMap)?;
        if cpus == 0 {
            return Err(InitError::NoCpus);
        }
        let unit: Order = if G::PAGEBLOCK_ORDER > G::MAX_ORDER { G::PAGEBLOCK_ORDER } else { G::MAX_ORDER };
        let span = PfnRange::new(unit.align_down(usable.start()), unit.align_up(usable.end()));
        let limit = u32::MAX as usize - 1;
        if span.len() > limit {
            return Err(InitError::TooLarge { frames: span.len(), limit });
        }
        let blocks = span.len() / G::PAGEBLOCK_ORDER.pages();
        let places = CpuLists::places(Self::room::<G>(span, cpus));
        Ok(Self { frames: span.len(), blocks, cpus, places, span })
    }

    /// The room that each list of a CPU gets.
    fn room<G: Geometry>(span: PfnRange, cpus: usize) -> impl Fn(Order, ZoneKind) -> u32 {
        move |order, zone| room(order, zone.addresses::<G>().intersection(span).len(), cpus)
    }

    fn offsets(&self) -> Option<Offsets> {
        let lists = Layout::array::<CpuLists<'_>>(self.cpus).ok()?;
        let (all, places) =
            lists.extend(Layout::array::<PlainU32>(self.cpus.checked_mul(self.places)?).ok()?).ok()?;
        let (all, frames) = all.extend(Layout::array::<FrameDesc>(self.frames).ok()?).ok()?;
        let (all, blocks) = all.extend(Layout::array::<BlockDesc>(self.blocks).ok()?).ok()?;
        Some(Offsets { all: all.pad_to_align(), places, frames, blocks })
    }
}

impl<'m, G: Geometry> Metadata<'m, G> {
    /// The size and alignment of the memory that [`Metadata::new`] needs for this map and this many CPUs: 16 bytes
    /// for each frame between the first usable and the last, and less than 1 KiB for each CPU.
    ///
    /// # Errors
    ///
    /// [`InitError::EmptyMap`], [`InitError::NoCpus`], [`InitError::TooLarge`].
    pub fn layout<const N: usize>(map: &MemoryMap<N>, cpus: usize) -> Result<Layout, InitError> {
        let sizes = Sizes::new::<N, G>(map, cpus)?;
        let too_large = InitError::TooLarge { frames: sizes.frames, limit: u32::MAX as usize - 1 };
        sizes.offsets().map(|offsets| offsets.all).ok_or(too_large)
    }

    /// Lays the records out in `memory`. It need not be aligned, if it is larger than [`Metadata::layout`] says by at
    /// least the alignment. What it held before does not matter; it must not be among the frames that the
    /// map calls usable.
    ///
    /// # Errors
    ///
    /// Those of [`Metadata::layout`], and [`InitError::MetadataTooSmall`].
    pub fn new<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        let sizes = Sizes::new::<N, G>(map, cpus)?;
        let too_large = InitError::TooLarge { frames: sizes.frames, limit: u32::MAX as usize - 1 };
        let offsets = sizes.offsets().ok_or(too_large)?;
        let layout = offsets.all;
        let given = memory.len();
        let skipped = memory.as_ptr().align_offset(layout.align());
        let too_small = InitError::MetadataTooSmall { given, needed: layout.size().saturating_add(skipped) };
        let memory =
            memory.get_mut(skipped..).and_then(|rest| rest.get_mut(..layout.size())).ok_or(too_small)?;
        let (head, blocks) = memory.split_at_mut(offsets.blocks);
        let (head, frames) = head.split_at_mut(offsets.frames);
        let (lists, places) = head.split_at_mut(offsets.places);
        let places = &*fill(places, sizes.places * cpus, |_| PlainU32::new(0));
        let of_cpu = |cpu| &places[cpu * sizes.places..][..sizes.places];
        Ok(Self {
            lists: fill(lists, cpus, |cpu| {
                CpuLists::new(cpu, of_cpu(cpu), Sizes::room::<G>(sizes.span, cpus))
            }),
            frames: fill(frames, sizes.frames, |_| FrameDesc::new()),
            blocks: fill(blocks, sizes.blocks, |_| BlockDesc::new()),
            span: sizes.span,
            geometry: PhantomData,
        })
    }
}

impl<G: Geometry> Metadata<'static, G> {
    /// Takes the memory for the records out of the map itself: from the top of its largest usable region, which it then reserves in
    /// the map. Says which frames it took.
    ///
    /// # Errors
    ///
    /// Those of [`Metadata::layout`]; [`InitError::MetadataTooSmall`] with the size of the largest region if that is too
    /// small; [`InitError::MapFull`]. The map is unchanged then.
    ///
    /// # Safety
    ///
    /// Every usable byte of the map at physical address `a` must be mapped writable at virtual address
    /// `physical_memory_offset + a` for as long as the program runs, and nobody else may use it.
    pub unsafe fn carve<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
    ) -> Result<(Self, PfnRange), InitError> {
        let layout = Self::layout(map, cpus)?;
        let pages = layout.size().div_ceil(PAGE_SIZE as usize);
        let largest = map.usable().max_by_key(|range| range.len()).ok_or(InitError::EmptyMap)?;
        if largest.len() <= pages {
            let given = largest.len() * PAGE_SIZE as usize;
            return Err(InitError::MetadataTooSmall { given, needed: layout.size() });
        }
        let taken = PfnRange::new(Pfn::new(largest.end().number() - pages), largest.end());
        map.reserve(taken.start().start_address()..taken.end().start_address())?;
        let start = physical_memory_offset.wrapping_add(taken.start().start_address());
        let start = core::ptr::with_exposed_provenance_mut::<MaybeUninit<u8>>(start as usize);
        // SAFETY: the frames are usable ones of the map, which the caller says are mapped here, writable, for good, and used by nobody
        // else; they are reserved in the map now, so that the allocator does not hand them out either.
        let memory = unsafe { slice::from_raw_parts_mut(start, pages * PAGE_SIZE as usize) };
        Ok((Self::new(memory, map, cpus)?, taken))
    }
}

/// Fills raw memory, which is aligned for `T` and large enough, with `count` values.
fn fill<T>(memory: &mut [MaybeUninit<u8>], count: usize, value: impl Fn(usize) -> T) -> &mut [T] {
    let start = memory.as_mut_ptr().cast::<T>();
    assert!(
        start.is_aligned() && count.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= memory.len())
    );
    for index in 0..count {
        // SAFETY: `index < count`, and `count` values of `T` lie within `memory` (asserted above).
        let place = unsafe { start.add(index) };
        // SAFETY: `place` is aligned, lies within `memory`, and we borrow that mutably.
        unsafe { place.write(value(index)) };
    }
    // SAFETY: `count` values have been written from `start` on, and the borrow of `memory`, which the result keeps, makes them
    // ours alone.
    unsafe { slice::from_raw_parts_mut(start, count) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::mem::MaybeUninit;

    use super::Metadata;
    use crate::error::InitError;
    use crate::geometry::X86_64;
    use crate::memory_map::MemoryMap;

    fn map(bytes: u64) -> MemoryMap<4> {
        let mut map = MemoryMap::new();
        map.add_usable(0..bytes).unwrap();
        map
    }

    #[test]
    fn a_frame_costs_about_sixteen_bytes() {
        let layout = Metadata::<X86_64>::layout(&map(1 << 30), 4).unwrap();
        let per_frame = layout.size() as f64 / f64::from(1 << 18);
        assert!((16.0..16.1).contains(&per_frame), "{per_frame}");
    }

    #[test]
    fn memory_one_byte_short_is_refused_with_the_size_needed() {
        let layout = Metadata::<X86_64>::layout(&map(4 << 20), 1).unwrap();
        let mut memory = vec![MaybeUninit::<u8>::uninit(); layout.size() + layout.align()];
        let start = memory.as_ptr().align_offset(layout.align());
        let exact = &mut memory[start..start + layout.size()];
        assert!(Metadata::<X86_64>::new(exact, &map(4 << 20), 1).is_ok());
        let short = &mut memory[start..start + layout.size() - 1];
        let error = Metadata::<X86_64>::new(short, &map(4 << 20), 1).unwrap_err();
        assert_eq!(error, InitError::MetadataTooSmall { given: layout.size() - 1, needed: layout.size() });
    }

    #[test]
    fn unaligned_memory_with_room_to_spare_will_do() {
        let layout = Metadata::<X86_64>::layout(&map(4 << 20), 1).unwrap();
        let mut memory = vec![MaybeUninit::<u8>::uninit(); layout.size() + 2 * layout.align()];
        let start = memory.as_ptr().align_offset(layout.align()) + 1;
        assert!(Metadata::<X86_64>::new(&mut memory[start..], &map(4 << 20), 1).is_ok());
    }

    #[test]
    fn carved_memory_comes_from_the_top_of_the_largest_region() {
        // A "machine" whose memory from 4 MiB on is a buffer of ours.
        let buffer = vec![0_u8; 9 << 20].leak();
        let start = buffer.as_mut_ptr().expose_provenance().next_multiple_of(4096) as u64;
        let offset = start.wrapping_sub(4 << 20);
        let mut map: MemoryMap<4> = MemoryMap::new();
        map.add_usable(0x1000..0x3000).unwrap();
        map.add_usable(4 << 20..12 << 20).unwrap();
        // SAFETY: all that is carved lies in the largest region, which is the buffer.
        let (_, taken) = unsafe { Metadata::<X86_64>::carve(&mut map, offset, 2) }.unwrap();
        assert_eq!(taken.end().start_address(), 12 << 20);
        assert_eq!(map.usable_frames(), 2 + 2048 - taken.len());
        assert!((12..20).contains(&taken.len()), "{taken}");
    }

    #[test]
    fn no_memory_and_no_cpu_are_errors() {
        assert_eq!(Metadata::<X86_64>::layout(&map(0), 1), Err(InitError::EmptyMap));
        assert_eq!(Metadata::<X86_64>::layout(&map(1 << 20), 0), Err(InitError::NoCpus));
        assert!(matches!(Metadata::<X86_64>::layout(&map(1 << 45), 1), Err(InitError::TooLarge { .. })));
    }
}
