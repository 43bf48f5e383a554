//! A toy machine whose whole state can be copied, and put back later.
//!
//! All that an allocator changes is in three places: the memory that was given for its records, its
//! own value, and the bitmap of its CMA area. A copy of their bytes, made while no call is running,
//! is a state; to write them back is to be in that state again.

#![expect(unsafe_code, reason = "copies the bytes of an allocator and its records, and puts them back")]

use std::cell::Cell;
use std::hint::black_box;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

use pageblock::{
    CmaArea, CpuId, Geometry, IsolatedRange, MemoryMap, Metadata, Order, PageAllocator, PcpAccess, Pfn,
    PfnRange, Platform, Tuning,
};

use super::call::Run;

/// The CPU that calls is a number that the search sets. `OWNER_ONLY` is the access mode.
#[derive(Debug)]
pub(crate) struct Cpus<const OWNER_ONLY: bool> {
    current: Cell<usize>,
    count: usize,
}

impl<const OWNER_ONLY: bool> Platform for Cpus<OWNER_ONLY> {
    const PCP_ACCESS: PcpAccess<Self> = if OWNER_ONLY {
        // SAFETY: one thread makes all calls, one after the other and none within another, and the
        // numbers of its CPUs are below their count.
        unsafe { PcpAccess::owner_only(|cpus| cpus.count) }
    } else {
        PcpAccess::LOCKED
    };

    fn current_cpu(&self) -> CpuId {
        CpuId::new(self.current.get())
    }
}

/// How a machine is built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) frames: u8,
    pub(crate) cpus: usize,
    pub(crate) min_free: usize,
    pub(crate) guard_below: u8,
    pub(crate) cma: Option<Run>,
}

type Allocator<G, const OWNER_ONLY: bool> = PageAllocator<'static, Cpus<OWNER_ONLY>, G>;
type Handle<G, const OWNER_ONLY: bool> = IsolatedRange<'static, 'static, Cpus<OWNER_ONLY>, G>;

/// A toy machine.
pub(crate) struct Machine<G: Geometry, const OWNER_ONLY: bool> {
    allocator: &'static Allocator<G, OWNER_ONLY>,
    pub(crate) area: Option<CmaArea<'static>>,
    /// The memory that has the state: the records, the allocator, the bitmap of the CMA area.
    parts: [(*mut MaybeUninit<u64>, usize); 3],
    /// Ranges that are isolated now.
    pub(crate) isolated: Vec<Run>,
    /// The handle of each range that has ever been isolated.
    handles: Vec<(Run, ManuallyDrop<Handle<G, OWNER_ONLY>>)>,
}

/// A state: the words of all parts, and the isolated ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    words: Vec<MaybeUninit<u64>>,
    isolated: Vec<Run>,
}

/// A state as the words in which it differs from another, which are few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Difference {
    words: Box<[(u16, u64)]>,
    isolated: Box<[Run]>,
}

/// Memory for `bytes` bytes that is never freed.
fn memory(bytes: usize) -> (*mut MaybeUninit<u64>, usize) {
    // Cache lines apart, and zeroed so that no padding is ever without a value.
    let words = bytes.div_ceil(8);
    (vec![MaybeUninit::new(0_u64); words + 32].leak().as_mut_ptr(), words)
}

impl<G: Geometry, const OWNER_ONLY: bool> Machine<G, OWNER_ONLY> {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut map: MemoryMap = MemoryMap::new();
        map.add_usable(0..Pfn::new(setup.frames.into()).start_address()).unwrap();
        let layout = Metadata::<G>::layout_with_geometry(&map, setup.cpus).unwrap();
        let records = memory(layout.size() + layout.align());
        // SAFETY: the memory is as long, and no reference to it exists yet.
        let given =
            unsafe { std::slice::from_raw_parts_mut(records.0.cast::<MaybeUninit<u8>>(), records.1 * 8) };
        let metadata = Metadata::with_geometry(given, &map, setup.cpus).unwrap();
        let tuning =
            Tuning::default().min_free_pages(setup.min_free).guard_below(Order::new(setup.guard_below));
        let cpus = Cpus { current: Cell::new(0), count: setup.cpus };
        let value = PageAllocator::new(cpus, &map, metadata, tuning).unwrap();
        let place = memory(size_of_val(&value));
        let at = place.0.cast::<Allocator<G, OWNER_ONLY>>();
        assert!(at.is_aligned());
        // SAFETY: the memory is aligned and large enough.
        unsafe { at.write(value) };
        // SAFETY: it has just been written, and is never freed.
        let allocator = unsafe { &*at };
        let words = setup.cma.map_or(0, |cma| CmaArea::bitmap_words(cma.len.into()));
        let bitmap = memory(words * 8);
        let area = setup.cma.map(|cma| {
            // SAFETY: the memory is as long and zeroed, and no other reference to it exists.
            let words = unsafe { std::slice::from_raw_parts_mut(bitmap.0.cast::<u64>(), words) };
            CmaArea::new(allocator, frames(cma), words).unwrap()
        });
        let parts = [records, place, bitmap];
        Self { allocator, area, parts, isolated: Vec::new(), handles: Vec::new() }
    }

    /// The allocator, which is called as this CPU from now on.
    pub(crate) fn on_cpu(&self, cpu: u8) -> &'static Allocator<G, OWNER_ONLY> {
        self.allocator.platform().current.set(cpu.into());
        self.allocator
    }

    pub(crate) fn allocator(&self) -> &'static Allocator<G, OWNER_ONLY> {
        self.allocator
    }

    /// Copies the state.
    pub(crate) fn save(&self, image: &mut Image) {
        image.words.clear();
        for (start, words) in self.parts {
            // SAFETY: these are words of the part. No call is running, so that nothing else writes
            // them meanwhile.
            let part = unsafe { std::slice::from_raw_parts(start, words) };
            // Some of them are padding, of which the compiler must not know that it has no value.
            image.words.extend_from_slice(black_box(part));
        }
        image.isolated.clone_from(&self.isolated);
    }

    /// Puts a state back.
    pub(crate) fn restore(&mut self, image: &Image) {
        let mut rest = &image.words[..];
        for (start, words) in self.parts {
            let (part, after) = rest.split_at(words);
            // SAFETY: as many words of the part, which were in it before. No call is running. What
            // is not an atomic or behind a lock is the same in all states.
            unsafe { ptr::copy_nonoverlapping(part.as_ptr(), start, words) };
            rest = after;
        }
        self.isolated.clone_from(&image.isolated);
    }

    /// Isolates a range, which stays so until [`undo`](Self::undo). Returns false if that is refused.
    pub(crate) fn isolate(&mut self, run: Run) -> bool {
        let Ok(handle) = self.allocator.isolate(frames(run)) else {
            return false;
        };
        let handle = ManuallyDrop::new(handle);
        self.isolated.push(run);
        self.isolated.sort_unstable();
        if !self.handles.iter().any(|(known, _)| *known == run) {
            self.handles.push((run, handle));
        }
        true
    }

    /// The handle of a range that is isolated now.
    pub(crate) fn handle(&mut self, run: Run) -> &mut Handle<G, OWNER_ONLY> {
        let (_, handle) = self.handles.iter_mut().find(|(known, _)| *known == run).unwrap();
        handle
    }

    /// A bit of the bitmap of the CMA area.
    pub(crate) fn bit(&self, number: u8) -> bool {
        let (start, words) = self.parts[2];
        let word = usize::from(number / 64);
        if word >= words {
            return false;
        }
        // SAFETY: it is a word of the bitmap.
        let word = unsafe { start.add(word) }.cast::<u64>();
        // SAFETY: as above, and no call is running.
        let word = unsafe { word.read() };
        word >> (number % 64) & 1 == 1
    }

    /// Undoes an isolation.
    pub(crate) fn undo(&mut self, run: Run) {
        let handle: *mut Handle<G, OWNER_ONLY> = self.handle(run);
        // SAFETY: a handle is the allocator and the range, both of which are the same in all states
        // (its ledger is not used by the default design). In this state the range is isolated once,
        // and is not isolated afterwards.
        unsafe { ptr::drop_in_place(handle) };
        self.isolated.retain(|held| *held != run);
    }
}

impl Image {
    /// Where this state differs from `base`.
    pub(crate) fn against(&self, base: &Self) -> Difference {
        let word = |word: &MaybeUninit<u64>| {
            // SAFETY: `memory` wrote every word, and `save` hides what may have become padding.
            unsafe { word.assume_init() }
        };
        let pairs = self.words.iter().map(word).zip(base.words.iter().map(word)).enumerate();
        let words = pairs.filter(|(_, (here, there))| here != there).map(|(at, (here, _))| (at as u16, here));
        Difference { words: words.collect(), isolated: self.isolated.clone().into() }
    }

    /// Makes this the state that differs from `base` like that.
    pub(crate) fn apply(&mut self, base: &Self, difference: &Difference) {
        self.words.clone_from(&base.words);
        for (at, word) in &difference.words {
            self.words[usize::from(*at)] = MaybeUninit::new(*word);
        }
        self.isolated.clear();
        self.isolated.extend_from_slice(&difference.isolated);
    }
}

/// The frames of a run.
pub(crate) fn frames(run: Run) -> PfnRange {
    PfnRange::with_len(Pfn::new(run.start.into()), run.len.into())
}
