//! Makes a call on a machine, and checks that it did what it must and nothing else.

use std::cell::RefCell;
use std::fmt;
use std::hash::Hasher;

use pageblock::{
    AllocRequest, ContigOptions, Geometry, MemoryUse, Migrate, MigrateError, Move, NoNotifier, Order, Pfn,
    PfnRange, Violation, ZoneCensus,
};

use super::call::{Call, Owners, Request, Run};
use super::machine::{Cpus, Machine, Setup, frames};
use super::model::{Frame, MOST, Model};

/// Which calls a search makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alphabet {
    pub(crate) requests: &'static [Request],
    /// The orders of each request.
    pub(crate) orders: &'static [u8],
    pub(crate) split: bool,
    pub(crate) free_range: bool,
    pub(crate) drain: bool,
    /// The ranges that may be isolated, and how many at a time.
    pub(crate) isolate: &'static [Run],
    pub(crate) most_isolated: usize,
    pub(crate) contig: &'static [Run],
    pub(crate) owners: &'static [Owners],
    pub(crate) cma: bool,
    pub(crate) offline: &'static [Run],
    pub(crate) reserve: &'static [Run],
    /// What memory is added for. It is that which was reserved or removed.
    pub(crate) uses: &'static [MemoryUse],
    pub(crate) remove: bool,
    /// How many blocks are reported to the host at a time.
    pub(crate) report: &'static [u8],
}

impl Alphabet {
    pub(crate) const NONE: Self = Self {
        requests: &[],
        orders: &[],
        split: false,
        free_range: false,
        drain: true,
        isolate: &[],
        most_isolated: 1,
        contig: &[],
        owners: &[Owners::Migrate],
        cma: false,
        offline: &[],
        reserve: &[],
        uses: &[MemoryUse::Ordinary],
        remove: false,
        report: &[],
    };
}

/// What is wrong with a state, or with what a call did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    Invariant(Box<Violation>),
    /// A frame is not what the call must have made of it.
    Frame(u8, Frame, Frame),
    /// A block was given away that was not free.
    NotFree,
    /// A call that must succeed was refused.
    Refused,
    /// A call that must be refused changed something, or was not refused.
    Misuse,
    /// The test of an isolated range says something else than the model.
    Test(Run),
    /// The count of pages in use is wrong.
    InUse,
    /// The CMA area has another number of allocated frames than it gave away.
    Lent,
    /// A frame is not free that the host has been told of, and has not acknowledged.
    Told(u8),
    /// The pages of all kinds are not as many as the model has.
    Count {
        in_pool: usize,
        counted: usize,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(violation) => violation.fmt(f),
            Self::Frame(frame, is, expected) => write!(f, "frame {frame} is {is:?} and must be {expected:?}"),
            Self::NotFree => f.write_str("a frame was allocated that was not free"),
            Self::Refused => f.write_str("a call was refused that must succeed"),
            Self::Misuse => f.write_str("an invalid call was not refused, or changed something"),
            Self::Test(run) => write!(f, "{run} is isolated, and its test is wrong"),
            Self::InUse => f.write_str("the count of pages in use is wrong"),
            Self::Lent => f.write_str("the CMA area does not know what it gave away"),
            Self::Told(frame) => write!(f, "frame {frame} is in use and the host may discard it"),
            Self::Count { in_pool, counted } => {
                write!(
                    f,
                    "{in_pool} frames are free, cached, isolated, guards or being reported, {counted} are counted"
                )
            }
        }
    }
}

/// Collects what is fed to a hasher.
#[derive(Debug, Default)]
pub(crate) struct Key(pub(crate) Vec<u8>);

impl Hasher for Key {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    // Every number on a toy machine is small, or all of its bits are set.
    fn write_usize(&mut self, number: usize) {
        match u8::try_from(number) {
            Ok(small @ 0..=254) => self.0.push(small),
            _ => {
                self.0.push(255);
                self.0.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// A machine, and the calls that a search makes on it.
pub(crate) struct World<G: Geometry, P: Cpus> {
    pub(crate) machine: Machine<G, P>,
    pub(crate) setup: Setup,
    pub(crate) alphabet: Alphabet,
}

/// A bit for each frame of a range.
fn bits(range: PfnRange) -> u16 {
    range.iter().fold(0, |bits, pfn| bits | 1 << pfn.number())
}

/// The owners of movable blocks, and what they did.
struct Answers<'a, G: Geometry, P: Cpus> {
    machine: &'a Machine<G, P>,
    owners: Owners,
    model: RefCell<(Model, bool)>,
}

impl<G: Geometry, P: Cpus> Migrate for Answers<'_, G, P> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let (model, sound) = &mut *self.model.borrow_mut();
        let (from, to, order) = (page.from.number() as u8, page.to.number() as u8, page.order.get());
        let free = |pfn| self.machine.allocator().free_pages(pfn, page.order).is_ok();
        match self.owners {
            Owners::Refuse => return Err(MigrateError::Busy),
            Owners::Migrate => *sound &= model.alloc(to, order) && model.free(from, order),
            Owners::Free => {
                *sound &= free(page.from) && model.free(from, order);
                return Err(MigrateError::Gone);
            }
            Owners::MigrateAndFree => *sound &= free(page.to) && model.free(from, order),
        }
        Ok(())
    }
}

impl<G: Geometry, P: Cpus> World<G, P> {
    pub(crate) fn new(setup: Setup, alphabet: Alphabet) -> Self {
        assert!(usize::from(setup.frames) <= MOST);
        Self { machine: Machine::new(setup), setup, alphabet }
    }

    pub(crate) fn model(&self) -> Model {
        Model::of(&self.machine, self.setup.frames)
    }

    /// Whether a frame is allocated from the CMA area.
    fn is_lent(&self, frame: u8) -> bool {
        self.machine.lent >> frame & 1 != 0
    }

    /// All that later calls depend on.
    pub(crate) fn key(&self, key: &mut Key) {
        key.0.clear();
        self.machine.allocator().hash_state(key);
        key.0.push(self.machine.isolated.len() as u8);
        for run in &self.machine.isolated {
            key.0.extend([run.start, run.len]);
        }
        key.0.extend(self.machine.lent.to_le_bytes());
        key.0.push(u8::from(self.machine.batch_out));
        key.0.extend(self.machine.told.to_le_bytes());
    }

    /// Every run of frames.
    fn runs(&self) -> impl Iterator<Item = Run> + use<G, P> {
        let frames = self.setup.frames;
        (0..frames).flat_map(move |start| (1..=frames - start).map(move |len| Run { start, len }))
    }

    /// The calls to make from this state.
    pub(crate) fn calls(&self, model: &Model, calls: &mut Vec<Call>) {
        calls.clear();
        let (alphabet, cpus) = (&self.alphabet, self.setup.cpus as u8);
        for cpu in 0..cpus {
            for request in alphabet.requests {
                let at = |order: &u8| Call::Alloc { cpu, order: *order, request: *request };
                calls.extend(alphabet.orders.iter().map(at));
            }
            calls.extend(model.blocks().map(|(pfn, order)| Call::Free { cpu, pfn, order }));
        }
        if alphabet.split {
            let blocks = model.blocks().filter(|(_, order)| *order > 0);
            calls.extend(blocks.map(|(pfn, order)| Call::Split { pfn, order }));
        }
        if alphabet.drain {
            calls.push(Call::Drain);
        }
        let isolated = &self.machine.isolated;
        if isolated.len() < alphabet.most_isolated {
            calls.extend(alphabet.isolate.iter().map(|run| Call::Isolate(*run)));
        }
        calls.extend(isolated.iter().map(|run| Call::Undo(*run)));
        for owners in alphabet.owners {
            calls.extend(alphabet.contig.iter().map(|run| Call::TakeContig { run: *run, owners: *owners }));
            calls.extend(alphabet.offline.iter().map(|run| Call::Offline { run: *run, owners: *owners }));
            if let (true, Some(cma)) = (alphabet.cma, self.setup.cma) {
                calls.extend((1..=cma.len).map(|pages| Call::TakeCma { pages, owners: *owners }));
            }
        }
        // Any part of a contiguous range may be freed.
        for run in self.runs().filter(|run| model.all(*run, Frame::Contig)) {
            let lent = self.is_lent(run.start);
            if (run.start..run.end()).all(|frame| self.is_lent(frame) == lent) {
                calls.push(if lent { Call::FreeCma(run) } else { Call::FreeContig(run) });
            }
        }
        for run in self.runs().filter(|_| alphabet.free_range) {
            if (run.start..run.end()).all(|frame| model.is_owned(frame) && !self.is_lent(frame)) {
                calls.push(Call::FreeRange(run));
            }
        }
        let offline = alphabet.offline.iter().filter(|run| model.all(**run, Frame::Offline));
        calls.extend(offline.map(|run| Call::Online(*run)));
        let removed =
            alphabet.offline.iter().filter(|run| alphabet.remove && model.all(**run, Frame::Offline));
        calls.extend(removed.map(|run| Call::Remove(*run)));
        let reserved = alphabet.reserve.iter().filter(|run| !model.all(**run, Frame::Out));
        calls.extend(reserved.map(|run| Call::Reserve(*run)));
        if self.machine.batch_out {
            calls.push(Call::HandOver);
            calls.extend([true, false].map(|acknowledged| Call::EndBatch { acknowledged }));
        }
        // A second batch is refused.
        calls.extend(alphabet.report.iter().map(|blocks| Call::TakeBatch(*blocks)));
        for memory_use in alphabet.uses {
            let out =
                alphabet.reserve.iter().chain(alphabet.offline).filter(|run| model.all(**run, Frame::Out));
            calls.extend(out.map(|run| Call::Add { run: *run, memory_use: *memory_use }));
        }
    }

    /// Makes a call in a state with this model. Says what the call returned.
    pub(crate) fn call(&mut self, call: Call, model: &Model) -> Result<String, Wrong> {
        let mut expected = *model;
        let answer = self.make(call, &mut expected)?;
        let found = self.model();
        let in_use = |frame: &u8| found.at(*frame) != Frame::Pool;
        if let Some(frame) =
            (0..self.setup.frames).filter(|frame| self.machine.told >> frame & 1 != 0).find(in_use)
        {
            return Err(Wrong::Told(frame));
        }
        match (0..self.setup.frames).find(|frame| found.at(*frame) != expected.at(*frame)) {
            Some(frame) => Err(Wrong::Frame(frame, found.at(frame), expected.at(frame))),
            None => Ok(answer),
        }
    }

    fn make(&mut self, call: Call, expected: &mut Model) -> Result<String, Wrong> {
        // The calls that are not made on each CPU are made on the first.
        let allocator = self.machine.on_cpu(0);
        let sound = |sound| if sound { Ok(()) } else { Err(Wrong::NotFree) };
        let must = |done: bool| if done { Ok(()) } else { Err(Wrong::Refused) };
        let said = |done: bool| if done { String::new() } else { "refused".to_owned() };
        let done = match call {
            Call::Alloc { cpu, order, request: Request(mobility, depth) } => {
                let request = AllocRequest::new(Order::new(order), mobility).depth(depth);
                let Ok(pfn) = self.machine.on_cpu(cpu).alloc_pages(request) else {
                    return Ok("refused".to_owned());
                };
                sound(expected.alloc(pfn.number() as u8, order))?;
                return Ok(format!("frame {}", pfn.number()));
            }
            Call::Free { cpu, pfn, order } => {
                let freed = self.machine.on_cpu(cpu).free_pages(Pfn::new(pfn.into()), Order::new(order));
                must(freed.is_ok())?;
                expected.free(pfn, order)
            }
            Call::FreeRange(run) => {
                must(allocator.free_range(frames(run)).is_ok())?;
                expected.free_range(run, G::MAX_ORDER.get())
            }
            Call::Split { pfn, order } => {
                let whole = pageblock::Pages::from_raw(allocator, Pfn::new(pfn.into()), Order::new(order));
                let halves = whole.map_err(|_| Wrong::Refused)?.split();
                let (low, high) = halves.map_err(|_| Wrong::Refused)?;
                let half = 1 << (order - 1);
                let _owned = (low.into_raw(), high.into_raw());
                expected.free(pfn, order)
                    && expected.alloc(pfn, order - 1)
                    && expected.alloc(pfn + half, order - 1)
            }
            Call::Isolate(run) => {
                // A part of a range that is isolated already is refused.
                let overlaps = self.machine.isolated.iter().any(|held| held.overlaps(run));
                let isolated = self.machine.isolate(run);
                if overlaps && isolated {
                    return Err(Wrong::Misuse);
                }
                return Ok(said(isolated));
            }
            Call::Undo(run) => {
                self.machine.undo(run);
                true
            }
            Call::Drain => {
                allocator.drain_all();
                must(allocator.meminfo().cached == 0)?;
                true
            }
            Call::TakeContig { run, owners } => {
                return self.with_owners(owners, expected, run, Frame::Contig, |owners, _| {
                    let options = ContigOptions::default().attempts(1);
                    let taken = allocator.alloc_contig(frames(run), owners, options);
                    taken.map(|range| range.into_raw()).ok()
                });
            }
            Call::TakeCma { pages, owners } => {
                let any = Run { start: 0, len: 0 };
                let mut lent = 0;
                let answer = self.with_owners(owners, expected, any, Frame::Contig, |owners, machine| {
                    let area = machine.area?;
                    let taken = area.alloc(allocator, pages.into(), Order::ZERO, owners).ok()?;
                    lent = bits(taken);
                    Some(taken)
                });
                self.machine.lent |= lent;
                return answer;
            }
            Call::Offline { run, owners } => {
                return self.with_owners(owners, expected, run, Frame::Offline, |owners, _| {
                    let options = ContigOptions::default().attempts(1);
                    let taken = allocator.offline(frames(run), owners, &NoNotifier, options);
                    taken.map(|(offline, _)| offline.range()).ok()
                });
            }
            Call::FreeContig(run) => {
                must(allocator.free_contig(frames(run)).is_ok())?;
                expected.change(run, Frame::Contig, Frame::Pool)
            }
            Call::FreeCma(run) => {
                let area = self.machine.area.ok_or(Wrong::Refused)?;
                must(area.free(allocator, frames(run)).is_ok())?;
                self.machine.lent &= !bits(frames(run));
                expected.change(run, Frame::Contig, Frame::Pool)
            }
            Call::Online(run) => {
                must(allocator.online_raw(frames(run)).is_ok())?;
                expected.change(run, Frame::Offline, Frame::Pool)
            }
            Call::Reserve(run) => {
                let reserved = allocator.reserve(frames(run)).is_ok();
                sound(!reserved || expected.change(run, Frame::Pool, Frame::Out))?;
                return Ok(said(reserved));
            }
            Call::Remove(run) => {
                must(allocator.remove_memory(frames(run)).is_ok())?;
                expected.change(run, Frame::Offline, Frame::Out)
            }
            Call::TakeBatch(blocks) => {
                let second = self.machine.batch_out;
                let taken = self.machine.take_batch(blocks);
                return if taken && second { Err(Wrong::Misuse) } else { Ok(said(taken)) };
            }
            Call::HandOver => {
                let told = self.machine.hand_over();
                return Ok(told.map_or_else(|| "nothing".to_owned(), |range| range.to_string()));
            }
            Call::EndBatch { acknowledged } => {
                self.machine.end_batch(acknowledged);
                true
            }
            Call::Add { run, memory_use } => {
                // Movable-only memory is whole pageblocks, and a pageblock has one use.
                let added = allocator.add_memory(frames(run), memory_use).is_ok();
                must(added || self.alphabet.uses.len() > 1)?;
                sound(!added || expected.change(run, Frame::Out, Frame::Pool))?;
                return Ok(said(added));
            }
        };
        sound(done)?;
        Ok(String::new())
    }

    /// Makes a call that asks owners to migrate, and takes a range if it succeeds: `run`, or any if
    /// that is empty.
    fn with_owners(
        &self,
        owners: Owners,
        expected: &mut Model,
        run: Run,
        becomes: Frame,
        take: impl FnOnce(&Answers<'_, G, P>, &Machine<G, P>) -> Option<PfnRange>,
    ) -> Result<String, Wrong> {
        let answers = Answers { machine: &self.machine, owners, model: RefCell::new((*expected, true)) };
        let taken = take(&answers, &self.machine);
        let (model, mut sound) = answers.model.into_inner();
        *expected = model;
        let answer = match taken {
            Some(range) => {
                let got = Run { start: range.start().number() as u8, len: range.len() as u8 };
                sound &= run.len == 0 || run == got;
                sound &= expected.change(got, Frame::Pool, becomes);
                got.to_string()
            }
            None => "refused".to_owned(),
        };
        if sound { Ok(answer) } else { Err(Wrong::NotFree) }
    }

    /// Checks a state: every invariant, and what must be refused in it.
    pub(crate) fn check(
        &mut self,
        model: &Model,
        key: &[u8],
        scratch: &mut Key,
    ) -> Result<ZoneCensus, Wrong> {
        let allocator = self.machine.allocator();
        let census = allocator.verify().map_err(|found| Wrong::Invariant(Box::new(found)))?.total();
        let in_pool = model.count(Frame::Pool);
        let counted = census.free + census.isolated + census.cached + census.guard + census.reporting;
        if in_pool != counted || !allocator.audit().is_exact() {
            return Err(Wrong::Count { in_pool, counted });
        }
        if allocator.allocated_count() != model.owned() {
            return Err(Wrong::InUse);
        }
        for run in self.machine.isolated.clone() {
            let free = self.machine.handle(run).test().is_ok();
            let all = model.all(run, Frame::Pool);
            // A guard beside an allocated block is in the way, and a block that is being reported.
            if free != all && (free || census.guard + census.reporting == 0) {
                return Err(Wrong::Test(run));
            }
        }
        if let Some(area) = self.machine.area
            && area.stats(allocator).used != self.machine.lent.count_ones() as usize
        {
            return Err(Wrong::Lent);
        }
        self.misuse(model)?;
        self.key(scratch);
        if scratch.0 == key { Ok(census) } else { Err(Wrong::Misuse) }
    }

    /// Makes calls that must be refused.
    fn misuse(&self, model: &Model) -> Result<(), Wrong> {
        let allocator = self.machine.allocator();
        let refused = |refused: bool| if refused { Ok(()) } else { Err(Wrong::Misuse) };
        for frame in 0..self.setup.frames {
            let pfn = Pfn::new(frame.into());
            for order in 0..=G::MAX_ORDER.get() + 1 {
                if model.at(frame) != Frame::Head(order) {
                    refused(allocator.free_pages(pfn, Order::new(order)).is_err())?;
                }
            }
            let one = Run { start: frame, len: 1 };
            if model.at(frame) != Frame::Contig || self.is_lent(frame) {
                refused(allocator.free_contig(frames(one)).is_err())?;
            }
            if model.at(frame) != Frame::Out {
                refused(allocator.add_memory(frames(one), MemoryUse::Ordinary).is_err())?;
            }
            if let Some(area) = self.machine.area
                && !self.is_lent(frame)
            {
                refused(area.free(allocator, frames(one)).is_err())?;
            }
        }
        let frees = |frame| model.is_owned(frame) && !self.is_lent(frame);
        for run in self.runs().filter(|run| !(run.start..run.end()).all(frees)) {
            refused(allocator.free_range(frames(run)).is_err())?;
        }
        for run in self.alphabet.offline.iter().filter(|run| !model.all(**run, Frame::Offline)) {
            refused(allocator.online_raw(frames(*run)).is_err())?;
        }
        Ok(())
    }
}
