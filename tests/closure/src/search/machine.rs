//! A toy machine whose whole state can be copied, and put back later.
//!
//! All that an allocator changes is in four places: the memory that was given for its records, its
//! own value, and the bitmap and the value of its CMA area. A copy of their bytes, made while no
//! call is running, is a state; to write them back is to be in that state again.

#![expect(unsafe_code, reason = "copies the bytes of an allocator and its records, and puts them back")]

use std::cell::Cell;
use std::hint::black_box;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

use pageblock::{
    CmaArea, CpuId, Geometry, IsolatedRange, MemoryMap, Metadata, Order, PageAllocator, PcpAccess, Pfn,
    PfnRange, Platform, ReportBatch, ReportOptions, SingleThreaded, Tuning,
};

use super::call::Run;

/// A platform whose calling CPU is a number that the search sets.
pub(crate) trait Cpus: Platform + 'static {
    /// How the CPUs use their pcplists, in reports.
    const MODE: &'static str;

    fn new(cpus: usize) -> Self;

    fn become_cpu(&self, cpu: usize);
}

/// CPUs with locked pcplists.
#[derive(Debug, Default)]
pub(crate) struct Locked(Cell<usize>);

impl Platform for Locked {
    fn current_cpu(&self) -> CpuId {
        CpuId::new(self.0.get())
    }
}

impl Cpus for Locked {
    const MODE: &'static str = "locked";

    fn new(_: usize) -> Self {
        Self::default()
    }

    fn become_cpu(&self, cpu: usize) {
        self.0.set(cpu);
    }
}

/// CPUs that own their pcplists, so many.
#[derive(Debug)]
pub(crate) struct OwnerOnly(Cell<usize>, usize);

impl Platform for OwnerOnly {
    // SAFETY: one thread makes all calls, one after the other and none within another, and the
    // numbers of its CPUs are below their count.
    const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|cpus| cpus.1) };

    fn current_cpu(&self) -> CpuId {
        CpuId::new(self.0.get())
    }
}

impl Cpus for OwnerOnly {
    const MODE: &'static str = "owner-only";

    fn new(cpus: usize) -> Self {
        Self(Cell::new(0), cpus)
    }

    fn become_cpu(&self, cpu: usize) {
        self.0.set(cpu);
    }
}

impl Cpus for SingleThreaded {
    const MODE: &'static str = "single-threaded";

    fn new(cpus: usize) -> Self {
        assert_eq!(cpus, 1, "it has one CPU");
        Self::new()
    }

    fn become_cpu(&self, _: usize) {}
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

type Allocator<G, P> = PageAllocator<'static, P, G>;
type Batch<G, P> = ReportBatch<'static, 'static, P, G>;
type Handle<G, P> = IsolatedRange<'static, 'static, P, G>;

/// A toy machine.
pub(crate) struct Machine<G: Geometry, P: Cpus> {
    allocator: &'static Allocator<G, P>,
    pub(crate) area: Option<&'static CmaArea<'static>>,
    /// The memory that has the state: the records, the allocator, the bitmap of the CMA area, and
    /// the area.
    parts: [Part; 4],
    /// Ranges that are isolated now.
    pub(crate) isolated: Vec<Run>,
    /// Bit *n* is set while frame *n* is allocated from the CMA area.
    pub(crate) lent: u16,
    /// Whether a batch is being reported to the host.
    pub(crate) batch_out: bool,
    /// Bit *n* is set while the host has been told of frame *n* and has not acknowledged it.
    pub(crate) told: u16,
    /// The handle of the batch, once there has been one.
    batch: Option<ManuallyDrop<Batch<G, P>>>,
    /// The handle of each range that has ever been isolated.
    handles: Vec<(Run, ManuallyDrop<Handle<G, P>>)>,
}

/// A state: the words of all parts, the isolated ranges, what is lent, and what is being reported.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    words: Vec<MaybeUninit<u64>>,
    isolated: Vec<Run>,
    lent: u16,
    batch_out: bool,
    told: u16,
}

/// A state as the words in which it differs from another, which are few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Difference {
    words: Box<[(u16, u64)]>,
    isolated: Box<[Run]>,
    lent: u16,
    batch_out: bool,
    told: u16,
}

/// Memory that a state is in: where it begins, and how many words it has.
type Part = (*mut MaybeUninit<u64>, usize);

/// A value in memory of its own.
fn placed<T>(value: T) -> (&'static T, Part) {
    let place = memory(size_of::<T>());
    let at = place.0.cast::<T>();
    assert!(at.is_aligned());
    // SAFETY: the memory is aligned and large enough.
    unsafe { at.write(value) };
    // SAFETY: it has just been written, and is never freed.
    (unsafe { &*at }, place)
}

/// Memory for `bytes` bytes that is never freed.
fn memory(bytes: usize) -> Part {
    // Cache lines apart, and zeroed so that no padding is ever without a value.
    let words = bytes.div_ceil(8);
    (vec![MaybeUninit::new(0_u64); words + 32].leak().as_mut_ptr(), words)
}

impl<G: Geometry, P: Cpus> Machine<G, P> {
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
        let value = PageAllocator::new(<P as Cpus>::new(setup.cpus), &map, metadata, tuning).unwrap();
        let (allocator, place) = placed(value);
        let words = setup.cma.map_or(0, |cma| CmaArea::bitmap_words(cma.len.into()));
        let bitmap = memory(words * 8);
        let area = setup.cma.map(|cma| {
            // SAFETY: the memory is as long and zeroed, and no other reference to it exists.
            let words = unsafe { std::slice::from_raw_parts_mut(bitmap.0.cast::<u64>(), words) };
            placed(CmaArea::new(allocator, frames(cma), words).unwrap())
        });
        let parts = [records, place, bitmap, area.map_or(memory(0), |(_, place)| place)];
        let area = area.map(|(area, _)| area);
        Self {
            allocator,
            area,
            parts,
            isolated: Vec::new(),
            lent: 0,
            batch_out: false,
            told: 0,
            batch: None,
            handles: Vec::new(),
        }
    }

    /// The allocator, which is called as this CPU from now on.
    pub(crate) fn on_cpu(&self, cpu: u8) -> &'static Allocator<G, P> {
        self.allocator.platform().become_cpu(cpu.into());
        self.allocator
    }

    pub(crate) fn allocator(&self) -> &'static Allocator<G, P> {
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
        image.lent = self.lent;
        (image.batch_out, image.told) = (self.batch_out, self.told);
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
        self.lent = image.lent;
        (self.batch_out, self.told) = (image.batch_out, image.told);
    }

    /// Isolates a range, which stays so until [`undo`](Self::undo). Returns false if that is
    /// refused.
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

    /// Takes a batch of at most this many blocks, which is out until
    /// [`end_batch`](Self::end_batch). Returns false if there is nothing to report, or if that is
    /// refused.
    pub(crate) fn take_batch(&mut self, blocks: u8) -> bool {
        let options = ReportOptions::default().blocks(blocks.into());
        let Ok(Some(batch)) = self.allocator.report_free_pages(options) else {
            return false;
        };
        let batch = ManuallyDrop::new(batch);
        self.batch.get_or_insert(batch);
        self.batch_out = true;
        true
    }

    /// Tells the host of one block of the batch that is out.
    pub(crate) fn hand_over(&mut self) -> Option<PfnRange> {
        let range = self.batch.as_mut()?.hand_over()?;
        range.iter().for_each(|pfn| self.told |= 1 << pfn.number());
        Some(range)
    }

    /// Ends the batch that is out.
    pub(crate) fn end_batch(&mut self, acknowledged: bool) {
        if let Some(batch) = &self.batch {
            // SAFETY: a batch is the allocator and the zone, both of which are the same in all
            // states. In this state there is a batch, and none afterwards.
            let batch = unsafe { ptr::read(&raw const **batch) };
            let _pages = if acknowledged { batch.acknowledged() } else { batch.refused() };
        }
        (self.batch_out, self.told) = (false, 0);
    }

    /// The handle of a range that is isolated now.
    pub(crate) fn handle(&mut self, run: Run) -> &mut Handle<G, P> {
        let (_, handle) = self.handles.iter_mut().find(|(known, _)| *known == run).unwrap();
        handle
    }

    /// Undoes an isolation.
    pub(crate) fn undo(&mut self, run: Run) {
        let handle: *mut Handle<G, P> = self.handle(run);
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
        Difference {
            words: words.collect(),
            isolated: self.isolated.clone().into(),
            lent: self.lent,
            batch_out: self.batch_out,
            told: self.told,
        }
    }

    /// Makes this the state that differs from `base` like that.
    pub(crate) fn apply(&mut self, base: &Self, difference: &Difference) {
        self.words.clone_from(&base.words);
        for (at, word) in &difference.words {
            self.words[usize::from(*at)] = MaybeUninit::new(*word);
        }
        self.isolated.clear();
        self.isolated.extend_from_slice(&difference.isolated);
        self.lent = difference.lent;
        (self.batch_out, self.told) = (difference.batch_out, difference.told);
    }
}

/// The frames of a run.
pub(crate) fn frames(run: Run) -> PfnRange {
    PfnRange::with_len(Pfn::new(run.start.into()), run.len.into())
}
