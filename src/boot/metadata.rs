//! The metadata: the memory for the records of the allocator, which the kernel gives.
//!
//! It has ten arrays: the zones; for each CPU its pcplists, and the entries of these lists; for
//! each pageblock a summary of one cache line, a tree of two bits for each of its frames, and a
//! state byte; for each frame of the map's span, including holes, a word of 8 bytes, a state of 4,
//! and a bit that is set while the frame is isolated; with the feature `page_owner` also the site
//! of its allocation, 8 bytes. The records of frames and of free blocks
//! start as zeroes, so that memory which is known to be zeroed is not written before it is used.

#![expect(unsafe_code, reason = "the kernel promises that raw memory is mapped")]

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::slice;

use crate::base::{Checked, Geometry, InitError, Order, PAGE_SIZE, Pfn, PfnRange, X86_64, ZoneKind};
use crate::boot::memory_map::MemoryMap;
use crate::boot::zeroed::{fill, zeroes};
use crate::limits::capacity;
use crate::pcp::CpuLists;
use crate::records::{
    BuddyTree, FrameState, IsolatedFrames, PageblockCell, PageblockSummary, SiteCell, StateCell, TreeWord,
    WordCell,
};
use crate::sync::PlainU32;
use crate::zone::Zone;

/// The memory for the records of one memory map and of a number of CPUs.
#[derive(Debug)]
pub struct Metadata<'m, G: Geometry = X86_64> {
    pub(crate) states: &'m [StateCell],
    pub(crate) words: &'m [WordCell],
    pub(crate) pageblocks: &'m [PageblockCell],
    pub(crate) summaries: &'m [PageblockSummary],
    pub(crate) trees: &'m [TreeWord],
    pub(crate) isolated: &'m [WordCell],
    /// Zero-sized without the feature `page_owner`.
    pub(crate) sites: &'m [SiteCell],
    pub(crate) lists: &'m [CpuLists<'m>],
    pub(crate) zones: &'m [Zone<G>],
    pub(crate) span: PfnRange,
    geometry: PhantomData<fn() -> G>,
}

struct Sizes {
    frames: usize,
    pageblocks: usize,
    /// Words of the tree of one pageblock.
    tree_words: usize,
    /// Words for the bits of isolated frames.
    isolated_words: usize,
    cpus: usize,
    /// Pcplist entries of each CPU.
    entries: usize,
    span: PfnRange,
}

/// The offset of each array in bytes, and the layout of all. The array of pcplists is first.
struct Offsets {
    all: Layout,
    lists: usize,
    entries: usize,
    summaries: usize,
    trees: usize,
    isolated: usize,
    words: usize,
    sites: usize,
    states: usize,
    pageblocks: usize,
}

impl Sizes {
    /// The sizes for a map. The span is widened to whole pageblocks and largest blocks, so that
    /// every pageblock and every buddy of a block has its records.
    fn new<const N: usize, G: Geometry>(map: &MemoryMap<N>, cpus: usize) -> Result<Self, InitError> {
        const { Checked::<G>::OK };
        let usable = map.span().ok_or(InitError::EmptyMap)?;
        if cpus == 0 {
            return Err(InitError::NoCpus);
        }
        if cpus > FrameState::MAX_CPUS {
            return Err(InitError::TooManyCpus { given: cpus, limit: FrameState::MAX_CPUS });
        }
        let unit: Order = if G::PAGEBLOCK_ORDER > G::MAX_ORDER { G::PAGEBLOCK_ORDER } else { G::MAX_ORDER };
        let span = PfnRange::new(unit.align_down(usable.start()), unit.align_up(usable.end()));
        let pageblocks = span.len() / G::PAGEBLOCK_ORDER.pages();
        let entries = CpuLists::entries_needed(Self::capacity_of::<G>(span, cpus));
        let tree_words = BuddyTree::<G>::WORDS;
        let isolated_words = IsolatedFrames::<G>::words(span.len());
        let sizes = Self { frames: span.len(), pageblocks, tree_words, isolated_words, cpus, entries, span };
        if sizes.frames > Self::LIMIT { Err(sizes.too_large()) } else { Ok(sizes) }
    }

    const LIMIT: usize = u32::MAX as usize - 1;

    fn too_large(&self) -> InitError {
        InitError::TooLarge { frames: self.frames, limit: Self::LIMIT }
    }

    fn capacity_of<G: Geometry>(span: PfnRange, cpus: usize) -> impl Fn(Order, ZoneKind) -> u32 {
        move |order, zone| capacity(order, zone.addresses::<G>().intersection(span).len(), cpus)
    }

    fn offsets<G: Geometry>(&self) -> Option<Offsets> {
        let zones = Layout::new::<[Zone<G>; ZoneKind::COUNT]>();
        let (lists, lists_start) = zones.extend(Layout::array::<CpuLists<'_>>(self.cpus).ok()?).ok()?;
        let entries = Layout::array::<PlainU32>(self.cpus.checked_mul(self.entries)?).ok()?;
        let (all, entries) = lists.extend(entries).ok()?;
        let (all, summaries) = all.extend(Layout::array::<PageblockSummary>(self.pageblocks).ok()?).ok()?;
        let words = self.pageblocks.checked_mul(self.tree_words)?;
        let (all, trees) = all.extend(Layout::array::<TreeWord>(words).ok()?).ok()?;
        let (all, isolated) = all.extend(Layout::array::<WordCell>(self.isolated_words).ok()?).ok()?;
        let (all, words) = all.extend(Layout::array::<WordCell>(self.frames).ok()?).ok()?;
        let (all, sites) = all.extend(Layout::array::<SiteCell>(self.frames).ok()?).ok()?;
        let (all, states) = all.extend(Layout::array::<StateCell>(self.frames).ok()?).ok()?;
        let (all, pageblocks) = all.extend(Layout::array::<PageblockCell>(self.pageblocks).ok()?).ok()?;
        Some(Offsets {
            all: all.pad_to_align(),
            lists: lists_start,
            entries,
            summaries,
            trees,
            isolated,
            words,
            sites,
            states,
            pageblocks,
        })
    }
}

impl<'m> Metadata<'m, X86_64> {
    /// The size and the alignment, in bytes, of the memory that [`Metadata::new`] needs.
    ///
    /// It is 12.5 bytes for each frame from the first usable one to the last, and at most 100 KiB
    /// for each CPU (less if the CPU's share of memory is small). The feature `page_owner` adds
    /// 8 bytes for each frame.
    ///
    /// # Errors
    ///
    /// [`InitError::EmptyMap`], [`InitError::NoCpus`], [`InitError::TooLarge`].
    pub fn layout<const N: usize>(map: &MemoryMap<N>, cpus: usize) -> Result<Layout, InitError> {
        Self::layout_with_geometry(map, cpus)
    }

    /// Lays the records out in `memory`, all of which it writes.
    ///
    /// `memory` must have the [`Metadata::layout`] of this map and CPU count; it need not be
    /// aligned if it is larger by the alignment. Its frames must not be usable ones of the map. For
    /// memory that is zeroed already see [`Metadata::new_zeroed`].
    ///
    /// # Errors
    ///
    /// Those of [`Metadata::layout`], and [`InitError::MetadataTooSmall`].
    pub fn new<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        Self::with_geometry(memory, map, cpus)
    }

    /// As [`Metadata::new`], in memory that is zeroed already, by the firmware for instance. The
    /// records of frames, which are nearly all of it, are not written before the frames are used.
    ///
    /// # Safety
    ///
    /// Every byte of `memory` must be zero.
    pub unsafe fn new_zeroed<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        // SAFETY: the same conditions, which the caller ensures.
        unsafe { Self::with_geometry_zeroed(memory, map, cpus) }
    }
}

impl Metadata<'static, X86_64> {
    /// Takes the memory from the top of the largest usable region of the map.
    ///
    /// The map then has it as reserved. Also returns these frames.
    ///
    /// # Errors
    ///
    /// Those of [`Metadata::layout`]; [`InitError::MetadataTooSmall`] if the largest region is too
    /// small, with its size; [`InitError::MapFull`]. The map is unchanged then.
    ///
    /// # Safety
    ///
    /// Every usable byte of the map at physical address `a` must be mapped writable at virtual
    /// address `physical_memory_offset + a`, for good, and no other code may use it.
    pub unsafe fn carve<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the same conditions, which the caller ensures.
        unsafe { Self::carve_with_geometry(map, physical_memory_offset, cpus) }
    }

    /// As [`Metadata::carve`], if the memory for the records is zeroed already. The records of
    /// frames are not written before the frames are used.
    ///
    /// # Safety
    ///
    /// As [`Metadata::carve`]. Also, the top of the largest usable region of the map must be zero:
    /// as many bytes as the size of [`Metadata::layout`], rounded up to whole frames.
    pub unsafe fn carve_zeroed<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the same conditions, which the caller ensures.
        let (memory, taken) = unsafe { Self::reserve_memory(map, physical_memory_offset, cpus) }?;
        // SAFETY: the caller ensures that it is zeroed.
        Ok((unsafe { Self::new_zeroed(memory, map, cpus) }?, taken))
    }
}

impl<'m, G: Geometry> Metadata<'m, G> {
    /// As [`Metadata::layout`], for any geometry.
    pub fn layout_with_geometry<const N: usize>(
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Layout, InitError> {
        let sizes = Sizes::new::<N, G>(map, cpus)?;
        sizes.offsets::<G>().map(|offsets| offsets.all).ok_or(sizes.too_large())
    }

    /// As [`Metadata::new`], for any geometry.
    pub fn with_geometry<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        let memory = Self::aligned_part(memory, map, cpus)?;
        memory.fill(MaybeUninit::new(0));
        // SAFETY: it has just been zeroed.
        unsafe { Self::with_geometry_zeroed(memory, map, cpus) }
    }

    /// As [`Metadata::new_zeroed`], for any geometry.
    ///
    /// # Safety
    ///
    /// Every byte of `memory` must be zero.
    pub unsafe fn with_geometry_zeroed<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        let sizes = Sizes::new::<N, G>(map, cpus)?;
        let offsets = sizes.offsets::<G>().ok_or(sizes.too_large())?;
        let memory = Self::aligned_part(memory, map, cpus)?;
        let (memory, pageblocks) = memory.split_at_mut(offsets.pageblocks);
        let (memory, states) = memory.split_at_mut(offsets.states);
        let (memory, sites) = memory.split_at_mut(offsets.sites);
        let (memory, words) = memory.split_at_mut(offsets.words);
        let (memory, isolated) = memory.split_at_mut(offsets.isolated);
        let (memory, trees) = memory.split_at_mut(offsets.trees);
        let (memory, summaries) = memory.split_at_mut(offsets.summaries);
        let (memory, entries) = memory.split_at_mut(offsets.entries);
        let (zones, lists) = memory.split_at_mut(offsets.lists);
        // SAFETY: the caller ensures that it is zeroed.
        let entries = &*unsafe { zeroes::<PlainU32>(entries, sizes.entries * cpus) };
        let of_cpu = |cpu| &entries[cpu * sizes.entries..][..sizes.entries];
        Ok(Self {
            lists: fill(lists, cpus, |cpu| {
                CpuLists::new(cpu, of_cpu(cpu), Sizes::capacity_of::<G>(sizes.span, cpus))
            }),
            zones: fill(zones, ZoneKind::COUNT, |zone| {
                let kind = ZoneKind::ALL[zone];
                Zone::new(kind, kind.addresses::<G>().intersection(sizes.span))
            }),
            // SAFETY: the caller ensures that it is zeroed.
            words: unsafe { zeroes(words, sizes.frames) },
            // SAFETY: the caller ensures that it is zeroed.
            sites: unsafe { zeroes(sites, sizes.frames) },
            // SAFETY: the caller ensures that it is zeroed.
            states: unsafe { zeroes(states, sizes.frames) },
            // SAFETY: the caller ensures that it is zeroed.
            summaries: unsafe { zeroes(summaries, sizes.pageblocks) },
            // SAFETY: the caller ensures that it is zeroed.
            trees: unsafe { zeroes(trees, sizes.pageblocks * sizes.tree_words) },
            // SAFETY: the caller promises that it is zeroed.
            isolated: unsafe { zeroes(isolated, sizes.isolated_words) },
            pageblocks: fill(pageblocks, sizes.pageblocks, |_| PageblockCell::new()),
            span: sizes.span,
            geometry: PhantomData,
        })
    }

    /// The aligned part of `memory`, of exactly the size of the records.
    fn aligned_part<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<&'m mut [MaybeUninit<u8>], InitError> {
        let layout = Self::layout_with_geometry(map, cpus)?;
        let given = memory.len();
        let skipped = memory.as_ptr().align_offset(layout.align());
        let too_small = InitError::MetadataTooSmall { given, needed: layout.size().saturating_add(skipped) };
        memory.get_mut(skipped..).and_then(|rest| rest.get_mut(..layout.size())).ok_or(too_small)
    }
}

impl<G: Geometry> Metadata<'static, G> {
    /// As [`Metadata::carve`], for any geometry.
    ///
    /// # Safety
    ///
    /// As [`Metadata::carve`].
    pub unsafe fn carve_with_geometry<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the same conditions, which the caller ensures.
        let (memory, taken) = unsafe { Self::reserve_memory(map, physical_memory_offset, cpus) }?;
        Ok((Self::with_geometry(memory, map, cpus)?, taken))
    }

    /// Reserves the memory for the records in the map, and returns it.
    ///
    /// # Safety
    ///
    /// As [`Metadata::carve`].
    unsafe fn reserve_memory<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
    ) -> Result<(&'static mut [MaybeUninit<u8>], PfnRange), InitError> {
        let layout = Self::layout_with_geometry(map, cpus)?;
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
        // SAFETY: the frames are usable ones of the map; the caller promises that these are mapped
        // writable here, for good, and not used by other code; and they are reserved in the map
        // now, so that the allocator does not allocate them.
        let memory = unsafe { slice::from_raw_parts_mut(start, pages * PAGE_SIZE as usize) };
        Ok((memory, taken))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::mem::MaybeUninit;

    use super::Metadata;
    use crate::base::InitError;
    use crate::boot::memory_map::MemoryMap;
    use crate::sync::Ordering;

    fn map(bytes: u64) -> MemoryMap<4> {
        let mut map = MemoryMap::with_capacity();
        map.add_usable(0..bytes).unwrap();
        map
    }

    #[test]
    fn a_frame_costs_about_twelve_bytes() {
        let layout = Metadata::layout(&map(1 << 30), 4).unwrap();
        let per_frame = layout.size() as f64 / f64::from(1 << 18);
        // With pcplist entries for eleven thousand blocks on each of four CPUs.
        let sites = if cfg!(feature = "page_owner") { 8.0 } else { 0.0 };
        assert!((12.0..13.2).contains(&(per_frame - sites)), "{per_frame}");
    }

    #[test]
    fn memory_one_byte_short_is_refused_with_the_size_needed() {
        let layout = Metadata::layout(&map(4 << 20), 1).unwrap();
        let mut memory = vec![MaybeUninit::<u8>::uninit(); layout.size() + layout.align()];
        let start = memory.as_ptr().align_offset(layout.align());
        let exact = &mut memory[start..start + layout.size()];
        assert!(Metadata::new(exact, &map(4 << 20), 1).is_ok());
        let short = &mut memory[start..start + layout.size() - 1];
        let error = Metadata::new(short, &map(4 << 20), 1).unwrap_err();
        assert_eq!(error, InitError::MetadataTooSmall { given: layout.size() - 1, needed: layout.size() });
    }

    #[test]
    fn unaligned_memory_that_is_larger_by_the_alignment_suffices() {
        let layout = Metadata::layout(&map(4 << 20), 1).unwrap();
        let mut memory = vec![MaybeUninit::<u8>::uninit(); layout.size() + 2 * layout.align()];
        let start = memory.as_ptr().align_offset(layout.align()) + 1;
        assert!(Metadata::new(&mut memory[start..], &map(4 << 20), 1).is_ok());
    }

    #[test]
    fn carved_memory_comes_from_the_top_of_the_largest_region() {
        // The memory from 4 MiB on is a buffer of the test.
        let buffer = vec![0_u8; 9 << 20].leak();
        let start = buffer.as_mut_ptr().expose_provenance().next_multiple_of(4096) as u64;
        let offset = start.wrapping_sub(4 << 20);
        let mut map: MemoryMap<4> = MemoryMap::with_capacity();
        map.add_usable(0x1000..0x3000).unwrap();
        map.add_usable(4 << 20..12 << 20).unwrap();
        // SAFETY: all memory that is carved is in the largest region, which is the buffer.
        let (_, taken) = unsafe { Metadata::carve(&mut map, offset, 2) }.unwrap();
        assert_eq!(taken.end().start_address(), 12 << 20);
        assert_eq!(map.usable_frames(), 2 + 2048 - taken.len());
        let sites = if cfg!(feature = "page_owner") { 6 } else { 0 };
        assert!((9 + sites..24 + sites).contains(&taken.len()), "{taken}");
    }

    #[test]
    fn zeroed_memory_is_not_written_and_other_memory_is_zeroed() {
        let map = map(4 << 20);
        let layout = Metadata::layout(&map, 1).unwrap();
        let mut memory = vec![MaybeUninit::new(0xff_u8); layout.size() + layout.align()];
        let dirty = Metadata::new(&mut memory, &map, 1).unwrap();
        assert!(dirty.states.iter().all(|state| state.load(Ordering::Relaxed) == 0));
        assert!(dirty.words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        dirty.words[1000].store(77, Ordering::Relaxed);
        // SAFETY: all of it is zero except one word, for which any value is valid; it shows that
        // the memory is not written again.
        let again = unsafe { Metadata::new_zeroed(&mut memory, &map, 1) }.unwrap();
        assert_eq!(again.words[1000].load(Ordering::Relaxed), 77);
    }

    #[test]
    fn an_empty_map_no_cpu_and_a_huge_span_are_errors() {
        assert_eq!(Metadata::layout(&map(0), 1), Err(InitError::EmptyMap));
        assert_eq!(Metadata::layout(&map(1 << 20), 0), Err(InitError::NoCpus));
        assert!(matches!(Metadata::layout(&map(1 << 45), 1), Err(InitError::TooLarge { .. })));
    }
}
