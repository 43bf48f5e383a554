//! The memory that the allocator keeps its own records in: given by the caller, laid out here.
//!
//! Seven arrays in one piece of memory: pcplists (one cache-aligned record for each CPU) and the places on them, the free blocks of pageblocks (a
//! cache line for each, and two bits for each frame), the words and the states of frames (8 and 4 bytes for each frame of the map's span, holes included)
//! and pageblock states (a byte for each pageblock). Frames and free blocks start as zeroes, so that memory which is known to be zeroed need not be touched before it is used. This
//! is one of the few files with `unsafe`: it turns raw memory into those arrays. Neighbours:
//! [`memory_map`](crate::memory_map) says how large, [`page_allocator`](crate::page_allocator) uses them.

#![expect(unsafe_code, reason = "lays typed arrays out in raw memory")]

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::slice;

use crate::block_area::{BlockArea, BlockTree, TreeWord};
use crate::error::InitError;
use crate::frame::{StateCell, WordCell};
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
    pub(crate) states: &'m [StateCell],
    pub(crate) words: &'m [WordCell],
    pub(crate) blocks: &'m [BlockDesc],
    pub(crate) areas: &'m [BlockArea],
    pub(crate) trees: &'m [TreeWord],
    pub(crate) lists: &'m [CpuLists<'m>],
    pub(crate) span: PfnRange,
    geometry: PhantomData<fn() -> G>,
}

/// How many elements each array has.
struct Sizes {
    frames: usize,
    blocks: usize,
    /// Words for the tree of each pageblock.
    tree_words: usize,
    cpus: usize,
    /// Places on the lists of each CPU.
    places: usize,
    span: PfnRange,
}

/// Where each array begins, and the layout of all.
struct Offsets {
    all: Layout,
    places: usize,
    areas: usize,
    trees: usize,
    words: usize,
    states: usize,
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
        let blocks = span.len() / G::PAGEBLOCK_ORDER.pages();
        let places = CpuLists::places(Self::room_of::<G>(span, cpus));
        let tree_words = BlockTree::<G>::WORDS;
        let sizes = Self { frames: span.len(), blocks, tree_words, cpus, places, span };
        if sizes.frames > Self::LIMIT { Err(sizes.too_large()) } else { Ok(sizes) }
    }

    const LIMIT: usize = u32::MAX as usize - 1;

    fn too_large(&self) -> InitError {
        InitError::TooLarge { frames: self.frames, limit: Self::LIMIT }
    }

    /// The room that each list of a CPU gets.
    fn room_of<G: Geometry>(span: PfnRange, cpus: usize) -> impl Fn(Order, ZoneKind) -> u32 {
        move |order, zone| room(order, zone.addresses::<G>().intersection(span).len(), cpus)
    }

    fn offsets(&self) -> Option<Offsets> {
        let lists = Layout::array::<CpuLists<'_>>(self.cpus).ok()?;
        let places = Layout::array::<PlainU32>(self.cpus.checked_mul(self.places)?).ok()?;
        let (all, places) = lists.extend(places).ok()?;
        let (all, areas) = all.extend(Layout::array::<BlockArea>(self.blocks).ok()?).ok()?;
        let words = self.blocks.checked_mul(self.tree_words)?;
        let (all, trees) = all.extend(Layout::array::<TreeWord>(words).ok()?).ok()?;
        let (all, words) = all.extend(Layout::array::<WordCell>(self.frames).ok()?).ok()?;
        let (all, states) = all.extend(Layout::array::<StateCell>(self.frames).ok()?).ok()?;
        let (all, blocks) = all.extend(Layout::array::<BlockDesc>(self.blocks).ok()?).ok()?;
        Some(Offsets { all: all.pad_to_align(), places, areas, trees, words, states, blocks })
    }
}

impl<'m, G: Geometry> Metadata<'m, G> {
    /// The size and alignment of the memory that [`Metadata::new`] needs for this map and this many CPUs: 12.4 bytes
    /// for each frame between the first usable and the last, and at most 100 KiB for each CPU: less if its share of memory is small.
    ///
    /// # Errors
    ///
    /// [`InitError::EmptyMap`], [`InitError::NoCpus`], [`InitError::TooLarge`].
    pub fn layout<const N: usize>(map: &MemoryMap<N>, cpus: usize) -> Result<Layout, InitError> {
        let sizes = Sizes::new::<N, G>(map, cpus)?;
        sizes.offsets().map(|offsets| offsets.all).ok_or(sizes.too_large())
    }

    /// Lays the records out in `memory`. It need not be aligned, if it is larger than [`Metadata::layout`] says by at
    /// least the alignment. What it held before does not matter; it must not be among the frames that the
    /// map calls usable. Writes all of it: see [`Metadata::new_zeroed`] for memory that is zeroed already.
    ///
    /// # Errors
    ///
    /// Those of [`Metadata::layout`], and [`InitError::MetadataTooSmall`].
    pub fn new<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        let memory = Self::room(memory, map, cpus)?;
        memory.fill(MaybeUninit::new(0));
        // SAFETY: we have just zeroed it.
        unsafe { Self::new_zeroed(memory, map, cpus) }
    }

    /// As [`Metadata::new`], in memory that holds nothing but zeroes: fresh pages of a host, memory that firmware or the
    /// bootloader cleared. The records of frames, nearly all of it, are not touched before the frames are used.
    ///
    /// # Errors
    ///
    /// As [`Metadata::new`].
    ///
    /// # Safety
    ///
    /// Every byte of `memory` must be zero.
    pub unsafe fn new_zeroed<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        let sizes = Sizes::new::<N, G>(map, cpus)?;
        let offsets = sizes.offsets().ok_or(sizes.too_large())?;
        let memory = Self::room(memory, map, cpus)?;
        let (memory, blocks) = memory.split_at_mut(offsets.blocks);
        let (memory, states) = memory.split_at_mut(offsets.states);
        let (memory, words) = memory.split_at_mut(offsets.words);
        let (memory, trees) = memory.split_at_mut(offsets.trees);
        let (memory, areas) = memory.split_at_mut(offsets.areas);
        let (lists, places) = memory.split_at_mut(offsets.places);
        // SAFETY: zeroed, says the caller.
        let places = &*unsafe { zeroes::<PlainU32>(places, sizes.places * cpus) };
        let of_cpu = |cpu| &places[cpu * sizes.places..][..sizes.places];
        Ok(Self {
            lists: fill(lists, cpus, |cpu| {
                CpuLists::new(cpu, of_cpu(cpu), Sizes::room_of::<G>(sizes.span, cpus))
            }),
            // SAFETY: zeroed, says the caller.
            words: unsafe { zeroes(words, sizes.frames) },
            // SAFETY: zeroed, says the caller.
            states: unsafe { zeroes(states, sizes.frames) },
            // SAFETY: zeroed, says the caller.
            areas: unsafe { zeroes(areas, sizes.blocks) },
            // SAFETY: zeroed, says the caller.
            trees: unsafe { zeroes(trees, sizes.blocks * sizes.tree_words) },
            blocks: fill(blocks, sizes.blocks, |_| BlockDesc::new()),
            span: sizes.span,
            geometry: PhantomData,
        })
    }

    /// The aligned part of `memory`, as long as the records are.
    fn room<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<&'m mut [MaybeUninit<u8>], InitError> {
        let layout = Self::layout(map, cpus)?;
        let given = memory.len();
        let skipped = memory.as_ptr().align_offset(layout.align());
        let too_small = InitError::MetadataTooSmall { given, needed: layout.size().saturating_add(skipped) };
        memory.get_mut(skipped..).and_then(|rest| rest.get_mut(..layout.size())).ok_or(too_small)
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
        // SAFETY: the caller's promise is the one that is asked for.
        let (memory, taken) = unsafe { Self::reserve_memory(map, physical_memory_offset, cpus) }?;
        Ok((Self::new(memory, map, cpus)?, taken))
    }

    /// As [`Metadata::carve`], from a map whose usable memory holds nothing but zeroes where the records go. They are not
    /// touched before the frames are used.
    ///
    /// # Errors
    ///
    /// As [`Metadata::carve`].
    ///
    /// # Safety
    ///
    /// As [`Metadata::carve`]; and every byte at the top of the map's largest usable region, as many as
    /// [`Metadata::layout`] says and rounded up to whole frames, must be zero.
    pub unsafe fn carve_zeroed<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the caller's promise is the one that is asked for.
        let (memory, taken) = unsafe { Self::reserve_memory(map, physical_memory_offset, cpus) }?;
        // SAFETY: zeroed, says the caller.
        Ok((unsafe { Self::new_zeroed(memory, map, cpus) }?, taken))
    }

    /// Reserves the memory for the records in the map.
    ///
    /// # Safety
    ///
    /// As [`Metadata::carve`].
    unsafe fn reserve_memory<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
    ) -> Result<(&'static mut [MaybeUninit<u8>], PfnRange), InitError> {
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
        Ok((memory, taken))
    }
}

/// Fills raw memory, which is aligned for `T` and large enough, with `count` values.
fn fill<T>(memory: &mut [MaybeUninit<u8>], count: usize, value: impl Fn(usize) -> T) -> &mut [T] {
    let start: *mut T = array_start(memory, count);
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

/// What an array of zeroes is an array of.
///
/// # Safety
///
/// [`Zeroable::ZERO_BYTES`] is true only if a value of zero bytes is [`Zeroable::zero`].
unsafe trait Zeroable {
    const ZERO_BYTES: bool;
    fn zero() -> Self;
}

// SAFETY: claims nothing: the models' atomics are more than their integers.
#[cfg(any(loom, shuttle))]
unsafe impl Zeroable for StateCell {
    const ZERO_BYTES: bool = false;
    fn zero() -> Self {
        Self::new(0)
    }
}

// SAFETY: an atomic of the core library has the representation of its integer. (Without models this is what states are.)
unsafe impl Zeroable for PlainU32 {
    const ZERO_BYTES: bool = true;
    fn zero() -> Self {
        Self::new(0)
    }
}

// SAFETY: as above.
unsafe impl Zeroable for WordCell {
    const ZERO_BYTES: bool = true;
    fn zero() -> Self {
        Self::new(0)
    }
}

// SAFETY: made of such atomics, and as `new` makes it of zeroes.
unsafe impl Zeroable for BlockArea {
    const ZERO_BYTES: bool = true;
    fn zero() -> Self {
        Self::new()
    }
}

/// Takes raw memory, which is aligned for `T` and large enough, for `count` zeroes.
///
/// # Safety
///
/// The memory must be zeroed.
unsafe fn zeroes<T: Zeroable>(memory: &mut [MaybeUninit<u8>], count: usize) -> &mut [T] {
    if !T::ZERO_BYTES {
        return fill(memory, count, |_| T::zero());
    }
    let start = array_start(memory, count);
    // SAFETY: `count` values of `T` lie within `memory`, aligned; they are zero, which is a value of `T`; and the borrow of
    // `memory`, which the result keeps, makes them ours alone.
    unsafe { slice::from_raw_parts_mut(start, count) }
}

/// Where an array of `count` values starts that is to lie in this memory.
fn array_start<T>(memory: &mut [MaybeUninit<u8>], count: usize) -> *mut T {
    let start = memory.as_mut_ptr().cast::<T>();
    assert!(
        start.is_aligned() && count.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= memory.len())
    );
    start
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::mem::MaybeUninit;

    use super::Metadata;
    use crate::error::InitError;
    use crate::geometry::X86_64;
    use crate::memory_map::MemoryMap;
    use crate::sync::Ordering;

    fn map(bytes: u64) -> MemoryMap<4> {
        let mut map = MemoryMap::new();
        map.add_usable(0..bytes).unwrap();
        map
    }

    #[test]
    fn a_frame_costs_about_twelve_bytes() {
        let layout = Metadata::<X86_64>::layout(&map(1 << 30), 4).unwrap();
        let per_frame = layout.size() as f64 / f64::from(1 << 18);
        // Four CPUs with room on their lists for eleven thousand blocks each, and the table.
        assert!((12.0..13.2).contains(&per_frame), "{per_frame}");
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
        assert!((9..24).contains(&taken.len()), "{taken}");
    }

    #[test]
    fn zeroed_memory_is_left_alone_and_other_memory_is_zeroed() {
        let map = map(4 << 20);
        let layout = Metadata::<X86_64>::layout(&map, 1).unwrap();
        let mut memory = vec![MaybeUninit::new(0xff_u8); layout.size() + layout.align()];
        let dirty = Metadata::<X86_64>::new(&mut memory, &map, 1).unwrap();
        assert!(dirty.states.iter().all(|state| state.load(Ordering::Relaxed) == 0));
        assert!(dirty.words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        dirty.words[1000].store(77, Ordering::Relaxed);
        // SAFETY: all of it is zero but the one word, which shows that it is not written again, and which is valid as well.
        let again = unsafe { Metadata::<X86_64>::new_zeroed(&mut memory, &map, 1) }.unwrap();
        assert_eq!(again.words[1000].load(Ordering::Relaxed), 77);
    }

    #[test]
    fn no_memory_and_no_cpu_are_errors() {
        assert_eq!(Metadata::<X86_64>::layout(&map(0), 1), Err(InitError::EmptyMap));
        assert_eq!(Metadata::<X86_64>::layout(&map(1 << 20), 0), Err(InitError::NoCpus));
        assert!(matches!(Metadata::<X86_64>::layout(&map(1 << 45), 1), Err(InitError::TooLarge { .. })));
    }
}
