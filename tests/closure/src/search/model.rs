//! What the caller of an allocator knows of each frame, and what a call must change of it.

use pageblock::{FrameKind, FreeError, Geometry, Order, Pfn};

use super::call::Run;
use super::machine::{Cpus, Machine};

/// The most frames that a machine has.
pub(crate) const MOST: usize = 16;

/// What a frame is to those who call the allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Frame {
    /// The allocator has it: it is free, cached, isolated or a guard.
    Pool,
    /// The first frame of an allocated block of this order.
    Head(u8),
    /// Another frame of an allocated block.
    Body,
    Contig,
    Offline,
    /// Reserved, or a hole.
    Out,
}

/// All frames of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Model {
    frames: [Frame; MOST],
    len: u8,
}

impl Model {
    /// Asks the allocator about each frame, in ways that change nothing.
    pub(crate) fn of<G: Geometry, P: Cpus>(machine: &Machine<G, P>, len: u8) -> Self {
        let allocator = machine.allocator();
        let mut frames = [Frame::Pool; MOST];
        for number in 0..len {
            let pfn = Pfn::new(number.into());
            frames[usize::from(number)] = match allocator.owner(pfn, Order::ZERO) {
                Ok(_) => Frame::Head(0),
                Err(FreeError::WrongOrder { allocated, .. }) => Frame::Head(allocated.get()),
                Err(FreeError::NotHead { head, .. }) => match frames[head.number()] {
                    Frame::Head(_) => Frame::Body,
                    other => other,
                },
                Err(FreeError::Contig { .. }) => Frame::Contig,
                Err(FreeError::NotManaged { kind: FrameKind::Offline, .. }) => Frame::Offline,
                Err(FreeError::NotManaged { .. } | FreeError::Hole { .. }) => Frame::Out,
                Err(FreeError::DoubleFree { .. }) => Frame::Pool,
                Err(error) => panic!("{error}"),
            };
        }
        Self { frames, len }
    }

    pub(crate) fn at(&self, frame: u8) -> Frame {
        self.frames[usize::from(frame)]
    }

    /// The allocated blocks: their first frames and orders.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u8, u8)> {
        (0..self.len).filter_map(|frame| match self.at(frame) {
            Frame::Head(order) => Some((frame, order)),
            _ => None,
        })
    }

    /// Whether every frame of the run is this.
    pub(crate) fn all(&self, run: Run, is: Frame) -> bool {
        (run.start..run.end()).all(|frame| self.at(frame) == is)
    }

    pub(crate) fn count(&self, is: Frame) -> usize {
        (0..self.len).filter(|frame| self.at(*frame) == is).count()
    }

    /// Every frame of the run was `from` and becomes `to`. Returns false if one was not.
    #[must_use]
    pub(crate) fn change(&mut self, run: Run, from: Frame, to: Frame) -> bool {
        let all = self.all(run, from);
        for frame in run.start..run.end() {
            self.frames[usize::from(frame)] = to;
        }
        all
    }

    /// A block is allocated. Returns false if one of its frames was not the allocator's.
    #[must_use]
    pub(crate) fn alloc(&mut self, pfn: u8, order: u8) -> bool {
        let was_free = self.change(Run { start: pfn, len: 1 << order }, Frame::Pool, Frame::Body);
        self.frames[usize::from(pfn)] = Frame::Head(order);
        was_free
    }

    /// The frames of a run are freed, whatever blocks and contiguous ranges they are in. What is
    /// left of their blocks are blocks of orders up to `largest`.
    #[must_use]
    pub(crate) fn free_range(&mut self, run: Run, largest: u8) -> bool {
        let blocks: Vec<_> =
            self.blocks().map(|(pfn, order)| (Run { start: pfn, len: 1 << order }, order)).collect();
        let mut sound = true;
        for (block, order) in blocks.into_iter().filter(|(block, _)| block.overlaps(run)) {
            sound &= self.free(block.start, order);
            let below = Run { start: block.start, len: run.start.saturating_sub(block.start) };
            let end = run.end().max(block.start);
            let above = Run { start: end, len: block.end().saturating_sub(end) };
            for (pfn, order) in below.blocks(largest).chain(above.blocks(largest)) {
                sound &= self.alloc(pfn, order);
            }
        }
        for frame in run.start..run.end() {
            let was = std::mem::replace(&mut self.frames[usize::from(frame)], Frame::Pool);
            sound &= matches!(was, Frame::Pool | Frame::Contig);
        }
        sound
    }

    /// Whether a frame is part of an allocated block or of a contiguous range.
    pub(crate) fn is_owned(&self, frame: u8) -> bool {
        matches!(self.at(frame), Frame::Head(_) | Frame::Body | Frame::Contig)
    }

    /// The frames that are part of one.
    pub(crate) fn owned(&self) -> usize {
        (0..self.len).filter(|frame| self.is_owned(*frame)).count()
    }

    /// An allocated block is freed.
    #[must_use]
    pub(crate) fn free(&mut self, pfn: u8, order: u8) -> bool {
        let was_head = self.at(pfn) == Frame::Head(order);
        self.frames[usize::from(pfn)] = Frame::Body;
        self.change(Run { start: pfn, len: 1 << order }, Frame::Body, Frame::Pool) && was_head
    }
}
