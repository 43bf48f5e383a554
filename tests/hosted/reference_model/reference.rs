//! The model: one entry for each frame.

use std::collections::{BTreeMap, BTreeSet};

use pageblock::{Geometry, IsolateError, Mobility, Obstacle, Order, Pfn, PfnRange, ZoneKind};

/// What a frame is, as far as its owners can know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Truth {
    /// A hole or reserved.
    Out,
    /// The allocator has it: free, cached, isolated or a guard.
    Pool,
    /// Part of the block with this owner word.
    Owned(u64),
    /// Part of a contiguous allocation.
    Contig,
    Offline,
    /// A bad frame that is retired.
    Bad,
}

/// A block that was allocated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) pfn: Pfn,
    pub(crate) order: Order,
    pub(crate) mobility: Mobility,
}

/// What is known of a machine from the answers that it gave.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) span: PfnRange,
    frames: Vec<Truth>,
    /// By owner word.
    pub(crate) blocks: BTreeMap<u64, Block>,
    /// Ranges that are isolated now.
    pub(crate) isolated: Vec<PfnRange>,
    /// CMA areas.
    pub(crate) cma: Vec<PfnRange>,
    /// The first frames of movable-only pageblocks.
    pub(crate) movable_only: BTreeSet<Pfn>,
    /// Bad frames of allocated blocks.
    pub(crate) marked: BTreeSet<Pfn>,
    /// The frames of contiguous allocations that are pinned.
    pub(crate) pinned: BTreeSet<Pfn>,
    /// Owners that were busy when they were first asked to move.
    pub(crate) asked: BTreeSet<u64>,
}

impl Reference {
    pub(crate) fn new(span: PfnRange) -> Self {
        Self {
            span,
            frames: vec![Truth::Out; span.len()],
            blocks: BTreeMap::new(),
            isolated: Vec::new(),
            cma: Vec::new(),
            movable_only: BTreeSet::new(),
            marked: BTreeSet::new(),
            pinned: BTreeSet::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Frames have got records, or lost them, at the end of the span.
    pub(crate) fn set_span(&mut self, span: PfnRange) {
        assert_eq!(span.start(), self.span.start());
        self.frames.resize(span.len(), Truth::Out);
        self.movable_only.retain(|pageblock| *pageblock < span.end());
        self.span = span;
    }

    pub(crate) fn at(&self, pfn: Pfn) -> Truth {
        self.frames.get(pfn.number().wrapping_sub(self.span.start().number())).copied().unwrap_or(Truth::Out)
    }

    /// Every frame of `range` was `from` and now is `to`. A marked one that is freed is retired,
    /// and a retired one goes offline and comes back with its pageblock.
    #[track_caller]
    pub(crate) fn change(&mut self, range: PfnRange, from: Truth, to: Truth) {
        for pfn in range.iter() {
            if self.at(pfn) == Truth::Bad && (from == Truth::Offline || to == Truth::Offline) {
                continue;
            }
            assert_eq!(self.at(pfn), from, "{pfn} of {range}");
            let bad = to == Truth::Pool && self.marked.remove(&pfn);
            self.frames[pfn.number() - self.span.start().number()] = if bad { Truth::Bad } else { to };
        }
    }

    /// A frame that nobody uses is retired.
    pub(crate) fn retire(&mut self, pfn: Pfn) {
        self.frames[pfn.number() - self.span.start().number()] = Truth::Bad;
    }

    /// Bad frames of a zone that were kept for the host are retired, because it has answered.
    pub(crate) fn retire_marked_pool<G: Geometry>(&mut self, zone: ZoneKind) {
        let kept = |pfn: &Pfn| self.at(*pfn) == Truth::Pool && Self::zone::<G>(*pfn) == zone;
        let pool: Vec<Pfn> = self.marked.iter().copied().filter(kept).collect();
        for pfn in pool {
            self.marked.remove(&pfn);
            self.retire(pfn);
        }
    }

    /// Every frame of `range`, which was offline, is a hole.
    pub(crate) fn remove(&mut self, range: PfnRange) {
        for pfn in range.iter() {
            assert!(matches!(self.at(pfn), Truth::Offline | Truth::Bad), "{pfn} of {range}");
            self.frames[pfn.number() - self.span.start().number()] = Truth::Out;
        }
    }

    pub(crate) fn count(&self, which: impl Fn(Pfn, Truth) -> bool) -> usize {
        self.span.iter().filter(|pfn| which(*pfn, self.at(*pfn))).count()
    }

    pub(crate) fn all(&self, range: PfnRange, truth: Truth) -> bool {
        range.iter().all(|pfn| self.at(pfn) == truth)
    }

    /// The pageblock that holds `pfn`.
    pub(crate) fn pageblock<G: Geometry>(pfn: Pfn) -> PfnRange {
        G::PAGEBLOCK_ORDER.block(G::PAGEBLOCK_ORDER.align_down(pfn))
    }

    pub(crate) fn is_isolated<G: Geometry>(&self, pfn: Pfn) -> bool {
        let pageblock = Self::pageblock::<G>(pfn);
        self.isolated.iter().any(|range| range.overlaps(pageblock))
    }

    pub(crate) fn zone<G: Geometry>(pfn: Pfn) -> ZoneKind {
        if pfn < G::DMA_END {
            ZoneKind::Dma
        } else if pfn < G::DMA32_END {
            ZoneKind::Dma32
        } else {
            ZoneKind::Normal
        }
    }

    /// Whether only movable requests may use the frame.
    pub(crate) fn is_for_movable<G: Geometry>(&self, pfn: Pfn) -> bool {
        self.is_cma(pfn) || self.is_movable_only::<G>(pfn)
    }

    pub(crate) fn is_cma(&self, pfn: Pfn) -> bool {
        self.cma.iter().any(|area| area.contains(pfn))
    }

    pub(crate) fn is_movable_only<G: Geometry>(&self, pfn: Pfn) -> bool {
        self.movable_only.contains(&Self::pageblock::<G>(pfn).start())
    }

    /// Whether `range` is memory of one zone.
    pub(crate) fn is_sound<G: Geometry>(&self, range: PfnRange) -> bool {
        !range.is_empty()
            && self.is_memory(range)
            && Self::zone::<G>(range.start()) == Self::zone::<G>(Pfn::new(range.end().number() - 1))
    }

    /// Whether `range` is memory.
    pub(crate) fn is_memory(&self, range: PfnRange) -> bool {
        !range.is_empty() && self.span.covers(range) && range.iter().all(|pfn| self.at(pfn) != Truth::Out)
    }

    /// The error that an isolation must give. `spare_bad`: whether a bad frame is accepted.
    pub(crate) fn refusal<G: Geometry>(&self, range: PfnRange, spare_bad: bool) -> Option<Refusal> {
        if !self.is_sound::<G>(range) {
            return Some(Refusal::Range);
        }
        if self.isolated.iter().any(|held| held.overlaps(range)) {
            return Some(Refusal::Overlap);
        }
        let blocked = |pfn: &Pfn| match self.at(*pfn) {
            Truth::Owned(word) => self.blocks[&word].mobility != Mobility::Movable,
            Truth::Contig | Truth::Offline => true,
            Truth::Bad => !spare_bad,
            Truth::Pool | Truth::Out => false,
        };
        range.iter().find(blocked).map(Refusal::Unmovable)
    }

    /// Whether an isolation was refused for the shape of its range.
    pub(crate) fn is_range_error(error: IsolateError) -> bool {
        Refusal::Range.is(error)
    }

    /// Whether there is a block of this order that the request may use.
    ///
    /// All its frames belong to the allocator, none is isolated, and their pageblocks' types are
    /// ones that the request may use. The order is at most a pageblock's.
    pub(crate) fn has_room<G: Geometry>(&self, order: Order, mobility: Mobility, highest: ZoneKind) -> bool {
        let first = order.align_up(self.span.start()).number();
        (first..self.span.end().number()).step_by(order.pages()).map(Pfn::new).any(|pfn| {
            Self::zone::<G>(pfn) <= highest
                && self.all(order.block(pfn), Truth::Pool)
                && !self.is_isolated::<G>(pfn)
                && (mobility == Mobility::Movable || !self.is_for_movable::<G>(pfn))
        })
    }
}

/// Why an isolation is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Range,
    Overlap,
    Unmovable(Pfn),
}

impl Refusal {
    /// Whether the allocator gave the error that the model predicts.
    pub(crate) fn is(self, error: IsolateError) -> bool {
        match error {
            IsolateError::Range(_) => self == Self::Range,
            IsolateError::Overlap { .. } => self == Self::Overlap,
            IsolateError::Unmovable { pfn, reason } => {
                self == Self::Unmovable(pfn) && !matches!(reason, Obstacle::Cached | Obstacle::NotIsolated)
            }
            _ => false,
        }
    }
}
