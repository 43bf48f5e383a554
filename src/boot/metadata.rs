//! The metadata: the memory for the records of the allocator, which the kernel gives.
//!
//! It has twelve arrays: the zones; what is added later; for each CPU, and for the exchange between
//! them, its pcplists, and the entries of these lists; the extents, which say which frames have
//! records; for each pageblock of these a summary of one cache line, a tree of two bits for each of
//! its frames, and a state byte; for each frame a word of 8 bytes, a state of 4, and a bit that is
//! set while the frame is isolated; with the feature `page_owner` also the site of its allocation,
//! 8 bytes. The records of frames and of free blocks start as zeroes, which memory that is known to
//! be zeroed has already. In memory with other contents most of them are written when they are
//! first used ([`Unwritten`](crate::records::Unwritten)), because to write them takes most of the
//! time.
//!
//! An extent is a run of memory, usable or reserved, widened to whole largest blocks and
//! pageblocks. A hole between two runs that is less than a [section](SECTION), or at most a quarter
//! of memory, is a part of one extent: it costs at most 400 KiB, or 0.08 % of memory, and the
//! frames of the two largest extents are found several times faster than those of others. Such is
//! the hole for devices below 4 GiB of a PC. Larger holes cost nothing.

#![expect(unsafe_code, reason = "the kernel promises that raw memory is mapped")]

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::slice;

use crate::base::{Checked, Geometry, InitError, Order, PAGE_SIZE, Pfn, PfnRange, X86_64, ZoneKind};
use crate::boot::arrays::{self, Lengths};
use crate::boot::memory_map::MemoryMap;
use crate::boot::zeroed::{existing, fill};
use crate::limits::{capacity, exchange_capacity};
use crate::pcp::CpuLists;
use crate::records::{
    Added, Extent, Extents, FrameIndex, FrameState, PageblockCell, PageblockSummary, SiteCell, StateCell,
    TreeWord, WordCell,
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
    /// Those of each CPU, and last the exchange.
    pub(crate) lists: &'m [CpuLists<'m>],
    pub(crate) zones: &'m [Zone<G>],
    pub(crate) extents: Extents<'m>,
    /// Whether the records of frames and of free blocks are zero. Else they are not to be read
    /// before they are written.
    pub(crate) written: bool,
    geometry: PhantomData<fn() -> G>,
}

/// A hole of fewer frames than this, 128 MiB as a section of Linux, has records in any machine.
pub(crate) const SECTION: usize = 1 << 15;

/// What is in the memory for the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Contents {
    /// Nothing that may be read.
    Uninit,
    /// Initialised bytes of any value.
    Any,
    Zeroes,
}

struct Sizes {
    records: Lengths,
    cpus: usize,
    /// Pcplist entries of each CPU.
    entries: usize,
    /// Entries of the exchange.
    exchanged: usize,
    /// Extents other than the main one.
    others: usize,
    main: PfnRange,
}

/// The offset of each array in bytes. The array of zones is first, the records are last.
struct Offsets {
    added: usize,
    lists: usize,
    entries: usize,
    extents: usize,
    records: arrays::Offsets,
}

impl Sizes {
    /// The sizes for a map.
    fn new<const N: usize, G: Geometry>(map: &MemoryMap<N>, cpus: usize) -> Result<Self, InitError> {
        const { Checked::<G>::OK };
        if map.span().is_none() {
            return Err(InitError::EmptyMap);
        }
        if cpus == 0 {
            return Err(InitError::NoCpus);
        }
        if cpus > FrameState::MAX_CPUS {
            return Err(InitError::TooManyCpus { given: cpus, limit: FrameState::MAX_CPUS });
        }
        let runs = || Self::extents::<N, G>(map);
        let main = runs().max_by_key(|run| run.len()).ok_or(InitError::EmptyMap)?;
        let frames = runs().map(PfnRange::len).sum();
        if frames > FrameIndex::LIMIT {
            return Err(Self::too_large(frames));
        }
        Ok(Self {
            records: Lengths::new::<G>(frames),
            cpus,
            entries: CpuLists::entries_needed(Self::capacity_of::<N, G>(map, cpus)),
            exchanged: CpuLists::entries_needed(Self::exchange_capacity_of::<N, G>(map)),
            others: runs().count() - 1,
            main,
        })
    }

    /// The frames of each extent, in ascending order: whole pageblocks and largest blocks, so that
    /// every pageblock and every buddy of a block has its records.
    fn extents<const N: usize, G: Geometry>(map: &MemoryMap<N>) -> impl Iterator<Item = PfnRange> {
        let frames: usize = map.memory(Checked::<G>::UNIT, 0).map(PfnRange::len).sum();
        map.memory(Checked::<G>::UNIT, SECTION.max(frames / 4 + 1))
    }

    /// The extents other than the main one, with their indices.
    fn others<const N: usize, G: Geometry>(
        map: &MemoryMap<N>,
        main: PfnRange,
    ) -> impl Iterator<Item = Extent> {
        let mut next = FrameIndex::new(main.len() as u32);
        Self::extents::<N, G>(map).filter(move |run| *run != main).map(move |run| {
            let first = next;
            next = next.up(run.len() as u32);
            Extent::new(run, first)
        })
    }

    fn too_large(frames: usize) -> InitError {
        InitError::TooLarge { frames, limit: FrameIndex::LIMIT }
    }

    /// The capacity of the pcplists of an order and a zone. Zone Normal, where memory is added
    /// later, gets at least as much as a small part of all memory would need.
    fn capacity_of<const N: usize, G: Geometry>(
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> impl Fn(Order, ZoneKind) -> u32 {
        let frames = Self::frames_of_zones::<N, G>(map);
        move |order, zone| capacity(order, frames[zone.index()], cpus)
    }

    /// As [`capacity_of`](Self::capacity_of), of the exchange.
    fn exchange_capacity_of<const N: usize, G: Geometry>(
        map: &MemoryMap<N>,
    ) -> impl Fn(Order, ZoneKind) -> u32 {
        let frames = Self::frames_of_zones::<N, G>(map);
        move |order, zone| exchange_capacity(order, frames[zone.index()])
    }

    fn frames_of_zones<const N: usize, G: Geometry>(map: &MemoryMap<N>) -> [usize; ZoneKind::COUNT] {
        let mut frames = ZoneKind::ALL.map(|zone| {
            let part = |run: PfnRange| zone.addresses::<G>().intersection(run).len();
            Self::extents::<N, G>(map).map(part).sum::<usize>()
        });
        let later = frames.iter().sum::<usize>() / 512;
        let normal = &mut frames[ZoneKind::Normal.index()];
        *normal = later.max(*normal);
        frames
    }

    /// The entries of all CPUs and of the exchange.
    fn all_entries(&self) -> Option<usize> {
        self.cpus.checked_mul(self.entries)?.checked_add(self.exchanged)
    }

    fn offsets<G: Geometry>(&self) -> Option<Offsets> {
        let zones = Layout::new::<[Zone<G>; ZoneKind::COUNT]>();
        let (zones, added) = zones.extend(Layout::new::<Added>()).ok()?;
        let (lists, lists_start) = zones.extend(Layout::array::<CpuLists<'_>>(self.cpus + 1).ok()?).ok()?;
        let entries = Layout::array::<PlainU32>(self.all_entries()?).ok()?;
        let (all, entries) = lists.extend(entries).ok()?;
        let (all, extents) = all.extend(Layout::array::<Extent>(self.others).ok()?).ok()?;
        let records = self.records.after(all)?;
        Some(Offsets { added, lists: lists_start, entries, extents, records })
    }
}

impl<'m> Metadata<'m, X86_64> {
    /// The size and the alignment, in bytes, of the memory that [`Metadata::new`] needs.
    ///
    /// It is 12.5 bytes for each frame of memory, usable or reserved, and at most 100 KiB for each
    /// CPU and for the exchange between them (less if the CPU's share of memory is small). A hole
    /// of less than 128 MiB, or of at most a quarter of memory, counts as memory; larger ones cost
    /// nothing. The feature `page_owner` adds 8 bytes for each frame.
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
    /// memory that is initialised already see [`Metadata::from_bytes`], which takes less time.
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
    /// The memory need not be `'static`, as that of [`Metadata::from_bytes`] must be.
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
    /// As [`Metadata::new`], in memory that is initialised, with any contents. The records of
    /// frames, which are nearly all of it, are not written before the frames are used. The memory
    /// is `'static` because padding of the records is not initialised afterwards.
    ///
    /// # Errors
    ///
    /// Those of [`Metadata::new`].
    pub fn from_bytes<const N: usize>(
        memory: &'static mut [u8],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        Self::from_bytes_with_geometry(memory, map, cpus)
    }

    /// Takes the memory from the top of the largest usable region of the map.
    ///
    /// The map then has it as reserved. Also returns these frames. The memory may have any
    /// contents; the records of frames, which are nearly all of it, are not written before the
    /// frames are used.
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
    /// It may have any contents, but must be initialised, as memory is that no Rust code has
    /// allocated.
    pub unsafe fn carve<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the same conditions, which the caller ensures.
        unsafe { Self::carve_with_geometry(map, physical_memory_offset, cpus) }
    }

    /// As [`Metadata::carve`], from memory below `limit`, a physical address in bytes.
    ///
    /// For kernels that have mapped only the low part of memory when they make the allocator. The
    /// memory comes from the top of the usable region that is largest below the limit.
    ///
    /// # Errors
    ///
    /// Those of [`Metadata::carve`]; the size in [`InitError::MetadataTooSmall`] is that of the
    /// part below the limit.
    ///
    /// # Safety
    ///
    /// As [`Metadata::carve`], for the usable bytes below the limit only.
    pub unsafe fn carve_below<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
        limit: u64,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the same conditions, which the caller ensures.
        unsafe { Self::carve_below_with_geometry(map, physical_memory_offset, cpus, limit) }
    }

    /// As [`Metadata::carve`], if the memory for the records is zeroed already.
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
        let (memory, taken) = unsafe { Self::reserve_memory(map, physical_memory_offset, cpus, u64::MAX) }?;
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
        let offsets = sizes.offsets::<G>().ok_or(Sizes::too_large(sizes.records.frames))?;
        Ok(offsets.records.all)
    }

    /// As [`Metadata::new`], for any geometry.
    pub fn with_geometry<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        // SAFETY: it is not said to have any contents.
        unsafe { Self::with_contents(memory, map, cpus, Contents::Uninit) }
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
        // SAFETY: the caller ensures that it is zeroed.
        unsafe { Self::with_contents(memory, map, cpus, Contents::Zeroes) }
    }

    /// Lays the records out in memory with these contents.
    ///
    /// # Safety
    ///
    /// The memory must have them.
    unsafe fn with_contents<const N: usize>(
        memory: &'m mut [MaybeUninit<u8>],
        map: &MemoryMap<N>,
        cpus: usize,
        contents: Contents,
    ) -> Result<Self, InitError> {
        let sizes = Sizes::new::<N, G>(map, cpus)?;
        let offsets = sizes.offsets::<G>().ok_or(Sizes::too_large(sizes.records.frames))?;
        let memory = Self::aligned_part(memory, map, cpus)?;
        let (memory, mut records) = offsets.records.split(memory);
        let lengths = sizes.records;
        let (memory, extents) = memory.split_at_mut(offsets.extents);
        let (memory, entries) = memory.split_at_mut(offsets.entries);
        let (memory, lists) = memory.split_at_mut(offsets.lists);
        let (zones, added) = memory.split_at_mut(offsets.added);
        if contents == Contents::Uninit {
            entries.fill(MaybeUninit::new(0));
        }
        if contents != Contents::Zeroes {
            records.zero(contents == Contents::Uninit);
        }
        let zones = fill(zones, ZoneKind::COUNT, |_| Zone::new());
        for (zone, kind) in zones.iter_mut().zip(ZoneKind::ALL) {
            zone.set_kind(kind);
        }
        let added = fill(added, 1, |_| Added::new()).first();
        // SAFETY: they are integers, and it is initialised, now or before.
        let entries = &*unsafe { existing::<PlainU32>(entries, sizes.entries * cpus + sizes.exchanged) };
        let (of_cpus, exchanged) = entries.split_at(sizes.entries * cpus);
        let of_cpu = |cpu| &of_cpus[cpu * sizes.entries..][..sizes.entries];
        let capacity = Sizes::capacity_of::<N, G>(map, cpus);
        let lists = fill(lists, cpus + 1, |_| CpuLists::unused());
        for (cpu, lists) in lists.iter_mut().enumerate() {
            match cpu < cpus {
                true => lists.be_of_cpu(cpu, sizes.main.len(), of_cpu(cpu), &capacity),
                false => lists.be_exchange(exchanged, Sizes::exchange_capacity_of::<N, G>(map)),
            }
        }
        let mut others = Sizes::others::<N, G>(map, sizes.main);
        let others = fill(extents, sizes.others, |_| others.next().expect("as many as were counted"));
        Ok(Self {
            lists,
            zones,
            // SAFETY: they are integers, and it is initialised, now or before.
            words: unsafe { existing(records.words, lengths.frames) },
            // SAFETY: it is zeroed, now or before.
            sites: unsafe { existing(records.sites, lengths.frames) },
            // SAFETY: they are integers, and it is initialised, now or before.
            states: unsafe { existing(records.states, lengths.frames) },
            // SAFETY: they are integers, and it is initialised, now or before.
            summaries: unsafe { existing(records.summaries, lengths.pageblocks) },
            // SAFETY: they are integers, and it is initialised, now or before.
            trees: unsafe { existing(records.trees, lengths.trees) },
            // SAFETY: they are integers, and it is initialised, now or before.
            isolated: unsafe { existing(records.isolated, lengths.isolated) },
            pageblocks: fill(records.pageblocks, lengths.pageblocks, |_| PageblockCell::new()),
            extents: Extents::new(sizes.main, others, added),
            written: contents != Contents::Any,
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
    /// As [`Metadata::from_bytes`], for any geometry.
    ///
    /// # Errors
    ///
    /// Those of [`Metadata::new`].
    pub fn from_bytes_with_geometry<const N: usize>(
        memory: &'static mut [u8],
        map: &MemoryMap<N>,
        cpus: usize,
    ) -> Result<Self, InitError> {
        let (start, len) = (memory.as_mut_ptr().cast::<MaybeUninit<u8>>(), memory.len());
        // SAFETY: it is the same memory, which is never used as bytes again.
        let memory = unsafe { slice::from_raw_parts_mut(start, len) };
        // SAFETY: a slice of bytes is initialised.
        unsafe { Self::with_contents(memory, map, cpus, Contents::Any) }
    }

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
        unsafe { Self::carve_below_with_geometry(map, physical_memory_offset, cpus, u64::MAX) }
    }

    /// As [`Metadata::carve_below`], for any geometry.
    ///
    /// # Safety
    ///
    /// As [`Metadata::carve_below`].
    pub unsafe fn carve_below_with_geometry<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
        limit: u64,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the same conditions, which the caller ensures.
        let (memory, taken) = unsafe { Self::reserve_memory(map, physical_memory_offset, cpus, limit) }?;
        // SAFETY: the caller promises that it is initialised.
        let metadata = unsafe { Self::with_contents(memory, map, cpus, Contents::Any) }?;
        Ok((metadata, taken))
    }

    /// Reserves the memory for the records in the map, below `limit`, and returns it.
    ///
    /// # Safety
    ///
    /// As [`Metadata::carve_below`].
    unsafe fn reserve_memory<const N: usize>(
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
        limit: u64,
    ) -> Result<(&'static mut [MaybeUninit<u8>], PfnRange), InitError> {
        let layout = Self::layout_with_geometry(map, cpus)?;
        let pages = layout.size().div_ceil(PAGE_SIZE as usize);
        let below = PfnRange::new(Pfn::new(0), Pfn::containing(limit));
        let parts = map.usable().map(|range| range.intersection(below));
        let largest = parts.max_by_key(|range| range.len()).ok_or(InitError::EmptyMap)?;
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

    use super::{Metadata, Sizes};
    use crate::base::{InitError, X86_64};
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
        // With the pcplists of four CPUs, each with entries for eleven thousand blocks and two
        // pointers for each list, and with those of the exchange.
        let sites = if cfg!(feature = "page_owner") { 8.0 } else { 0.0 };
        assert!((12.0..13.33).contains(&(per_frame - sites)), "{per_frame}");
    }

    #[test]
    fn a_hole_has_records_if_it_is_at_most_a_quarter_of_the_memory() {
        let extents = |hole: u64| {
            let mut map: MemoryMap<4> = MemoryMap::with_capacity();
            map.add_usable(0..4 << 30).unwrap();
            map.add_usable((4 << 30) + hole..(8 << 30) + hole).unwrap();
            Sizes::extents::<4, X86_64>(&map).count()
        };
        assert_eq!([extents(2 << 30), extents((2 << 30) + (4 << 20))], [1, 2]);
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
        assert!((9 + sites..26 + sites).contains(&taken.len()), "{taken}");
    }

    #[test]
    fn carved_memory_can_be_bounded_from_above() {
        // The memory from 4 MiB to 8 MiB is a buffer of the test; the memory above is not mapped.
        let buffer = vec![0_u8; 5 << 20].leak();
        let start = buffer.as_mut_ptr().expose_provenance().next_multiple_of(4096) as u64;
        let offset = start.wrapping_sub(4 << 20);
        let mut map: MemoryMap<4> = MemoryMap::with_capacity();
        map.add_usable(0x1000..0x3000).unwrap();
        map.add_usable(4 << 20..128 << 30).unwrap();
        let before = map.usable_frames();
        let layout = Metadata::layout(&map, 1).unwrap();
        // SAFETY: there is too little memory below the limit, so that nothing is carved.
        let error = unsafe { Metadata::carve_below(&mut map, offset, 1, 8 << 20) }.unwrap_err();
        assert_eq!(error, InitError::MetadataTooSmall { given: 4 << 20, needed: layout.size() });
        assert_eq!(map.usable_frames(), before);
        let mut map: MemoryMap<4> = MemoryMap::with_capacity();
        map.add_usable(4 << 20..16 << 20).unwrap();
        map.add_usable(1 << 30..1 << 30 | 64 << 20).unwrap();
        // SAFETY: all usable memory below the limit is the buffer.
        let (_, taken) = unsafe { Metadata::carve_below(&mut map, offset, 1, (8 << 20) + 5) }.unwrap();
        assert_eq!(taken.end().start_address(), 8 << 20);
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
