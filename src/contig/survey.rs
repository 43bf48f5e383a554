//! A survey of memory before anything in it is touched: where a contiguous range cannot lie.
//!
//! A search that shifts its range by one place after each failure looks at the same frames again
//! and again. The survey looks for the *highest* obstacle of a range, block by block from the top
//! down, and the next range starts above that. The frames between are known to be clear, so that
//! each block is looked at once in a whole search, and a block, a deferred range and a pageblock
//! that only movable requests may use is each stepped over as a whole.

use crate::base::{
    FrameKind, Geometry, MigrateType, Mobility, NotFree, Obstacle, Order, Pageblock, Pfn, PfnRange, Platform,
    RangeError,
};
use crate::buddy::DeferredRanges;
use crate::contig::error::ContigError;
use crate::isolation::{IsolateError, obstacle_of};
use crate::page_allocator::PageAllocator;
use crate::records::{Descriptors, FrameState};
use crate::zone::Zone;

/// An obstacle: the frames that a range cannot include now, and one of them with the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Blocked {
    pub(crate) frames: PfnRange,
    pub(crate) why: NotFree,
}

/// What a search knows of the memory of one zone. It reads without a lock: what it calls clear may
/// no longer be, and then the isolation of the range fails.
#[derive(Debug)]
pub(crate) struct Survey<'a, 'm, G> {
    desc: &'a Descriptors<'m, G>,
    /// As they were when the search began. Memory only leaves them.
    deferred: DeferredRanges,
    /// Whether pageblocks that only movable requests may use are obstacles.
    spare_movable: bool,
    /// Frames from the end of the last obstacle up to here are clear.
    clear_to: Pfn,
    /// Blocks, deferred ranges and pageblocks that were looked at.
    steps: usize,
}

impl<'a, 'm, G: Geometry> Survey<'a, 'm, G> {
    /// Starts a search in one zone.
    pub(crate) fn new<P: Platform>(
        allocator: &'a PageAllocator<'m, P, G>,
        zone: &Zone<G>,
        spare_movable: bool,
    ) -> Self {
        let deferred = allocator.in_zone(zone, |inner| inner.buddy.deferred().clone());
        Self { desc: allocator.desc(), deferred, spare_movable, clear_to: Pfn::new(0), steps: 0 }
    }

    /// The highest obstacle in `range`. Each range must start above the obstacle of the one before.
    pub(crate) fn last_obstacle(&mut self, range: PfnRange) -> Option<Blocked> {
        let bottom = range.start().max(self.clear_to);
        self.clear_to = range.end().max(self.clear_to);
        let mut end = range.end();
        while end > bottom {
            self.steps += 1;
            match self.look_at(Pfn::new(end.number() - 1)) {
                Ok(start) => {
                    // Then single pages of the same pageblock, of which there may be many.
                    let rest = PfnRange::new(bottom.max(Pageblock::of::<G>(start).start()), start);
                    let single = |state: FrameState| state.is_free_or_movable() && state.pages_of_head() == 1;
                    let pages = self.desc.frames.count_at_end(rest, single);
                    end = Pfn::new(start.number() - pages);
                }
                Err(blocked) => return Some(self.with_hole(blocked, range.len())),
            }
        }
        None
    }

    /// Adds to an obstacle that is no memory what follows it in its pageblock and is none either.
    /// For a range of a pageblock or more that is not worth it: it shifts by more at a time.
    fn with_hole(&self, blocked: Blocked, pages: usize) -> Blocked {
        if pages >= G::PAGEBLOCK_ORDER.pages() || !matches!(blocked.why.reason, Obstacle::NotManaged(_)) {
            return blocked;
        }
        let start = blocked.frames.start();
        let rest = PfnRange::new(start, Pageblock::of::<G>(start).range::<G>().end());
        let end = self.desc.frames.first_where(rest, |state| !state.is_no_memory());
        let end = end.unwrap_or(rest.end()).max(blocked.frames.end());
        Blocked { frames: PfnRange::new(start, end), ..blocked }
    }

    /// Where the block of `pfn` starts, all of which is clear; or the obstacle there.
    fn look_at(&self, pfn: Pfn) -> Result<Pfn, Blocked> {
        if let Some(deferred) = self.deferred.containing(pfn) {
            return Ok(deferred.start());
        }
        let pageblock = Pageblock::of::<G>(pfn);
        let migratetype = self.desc.pageblocks.state(pfn).migratetype;
        if self.spare_movable && matches!(migratetype, MigrateType::Cma | MigrateType::MovableOnly) {
            let why = NotFree { pfn, reason: Obstacle::NotIsolated };
            return Err(Blocked { frames: pageblock.range::<G>(), why });
        }
        let state = self.desc.frames.state(pfn);
        if let kind @ (FrameKind::Hole | FrameKind::Reserved) = state.kind() {
            let why = NotFree { pfn, reason: Obstacle::NotManaged(kind) };
            return Err(Blocked { frames: Order::ZERO.block(pfn), why });
        }
        // A frame that is in no block is part of one that is being split or merged at this moment.
        let Some((head, state)) = self.desc.head_from_above(pfn) else {
            return Ok(pfn);
        };
        let clear = match state.kind() {
            FrameKind::Allocated => state.mobility() == Mobility::Movable,
            FrameKind::Contig | FrameKind::Offline | FrameKind::HwPoison => false,
            _ => true,
        };
        if !clear {
            let why = NotFree { pfn, reason: obstacle_of(state) };
            return Err(Blocked { frames: state.order().block(head), why });
        }
        // The parts of a block that spans pageblocks may be of different types.
        Ok(if self.spare_movable { head.max(pageblock.start()) } else { head })
    }

    /// Blocks, deferred ranges and pageblocks that were looked at so far.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn steps(&self) -> usize {
        self.steps
    }
}

/// The first frame above what made `error`: where the next range to try may start. `None` if no
/// other range of the zone would help.
pub(crate) fn behind<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    error: &ContigError,
) -> Option<Pfn> {
    let pfn = match *error {
        ContigError::Isolate(IsolateError::Overlap { with, .. }) => return Some(with.end()),
        ContigError::Isolate(IsolateError::Unmovable { pfn, .. }) | ContigError::Busy { pfn, .. } => pfn,
        ContigError::Isolate(IsolateError::Range(RangeError::NotManaged { pfn, .. })) => pfn,
        ContigError::MovableOnly { pfn } => return Some(Pageblock::of::<G>(pfn).range::<G>().end()),
        _ => return None,
    };
    let in_use = |kind| {
        matches!(kind, FrameKind::Allocated | FrameKind::Contig | FrameKind::Offline | FrameKind::Reporting)
    };
    let block = allocator.desc().frames.head_of(pfn, G::MAX_ORDER).filter(|(_, state)| in_use(state.kind()));
    Some(block.map_or(pfn.up(1), |(head, state)| state.order().block(head).end()))
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::Survey;
    use crate::base::{AllocRequest, Order, Pfn, PfnRange};
    use crate::page_allocator::testing::{self, Bare};
    use crate::page_allocator::{PageAllocator, Tuning};

    /// A machine with this many GiB, all of it above 4 GiB.
    fn machine(gib: u64) -> PageAllocator<'static, Bare> {
        testing::machine(Bare, gib << 30, Tuning::default().min_free_pages(0))
    }

    /// Searches as `alloc_contig_pages` does. Returns the place, and the steps.
    fn search(machine: &PageAllocator<'static, Bare>, pages: usize, align: u8) -> (Option<Pfn>, usize) {
        let zone = &machine.zones()[2];
        let (mut survey, mut start) = (Survey::new(machine, zone, true), machine.span().start());
        while machine.span().end().offset_from(start) >= pages {
            match survey.last_obstacle(PfnRange::with_len(start, pages)) {
                None => return (Some(start), survey.steps()),
                Some(blocked) => start = Order::new(align).align_up(blocked.frames.end()),
            }
        }
        (None, survey.steps())
    }

    #[test]
    fn a_machine_of_unmovable_blocks_is_searched_in_steps_of_blocks() {
        let machine = machine(4);
        let request = AllocRequest::unmovable().order(Order::new(10));
        let blocks: Vec<_> = core::iter::from_fn(|| machine.alloc_pages(request).ok()).collect();
        assert_eq!(blocks.len(), 1024);
        for (pages, align) in [(65_536, 0), (131_072, 0), (512, 0), (65_536, 4), (1, 0), (1024, 10)] {
            let (place, steps) = search(&machine, pages, align);
            assert!(place.is_none() && steps <= 1024, "{pages} pages, align {align}: {steps} steps");
        }
        assert_eq!(search(&machine, 1, 0), (None, 1024), "each block is one");
    }

    #[test]
    fn a_frame_is_looked_at_once_however_often_the_range_shifts() {
        // Every other block of order 3 is unmovable, so that a range of 9 pages shifts at each.
        let machine = machine(1);
        let request = AllocRequest::unmovable().order(Order::new(3));
        let blocks: Vec<_> = core::iter::from_fn(|| machine.alloc_pages(request).ok()).collect();
        for pfn in blocks.iter().filter(|pfn| pfn.number() & 8 == 0) {
            machine.free_pages(*pfn, Order::new(3)).unwrap();
        }
        machine.drain_all();
        for pages in [9, 1000, 65_536] {
            let (place, steps) = search(&machine, pages, 0);
            assert!(place.is_none() && steps <= blocks.len(), "{pages} pages: {steps} steps");
        }
    }

    #[test]
    fn a_hole_is_a_step_for_each_pageblock() {
        // 256 MiB with a reserved half of each 4 MiB, of which no free page is left.
        let machine = machine(1);
        let base = machine.span().start();
        let reserved = (0..64).map(|number| PfnRange::with_len(base.up(number * 1024 + 100), 512));
        for range in reserved {
            machine.reserve(range).unwrap();
        }
        let pages: Vec<_> =
            core::iter::from_fn(|| machine.alloc_pages(AllocRequest::unmovable().order(Order::new(2))).ok())
                .collect();
        for count in [1, 3, 100, 511] {
            let (place, steps) = search(&machine, count, 0);
            assert!(place.is_none() && steps <= pages.len() + 2 * 64 + 1, "{count} pages: {steps} steps");
        }
    }

    #[test]
    fn deferred_memory_is_one_step() {
        let machine = machine(8);
        let (place, steps) = search(&machine, 1 << 20, 0);
        assert_eq!(place, Some(machine.span().start()));
        assert!(steps <= 16, "{steps} steps for memory that was never used");
    }

    #[test]
    fn single_movable_pages_are_a_step_and_hide_no_other_page() {
        let machine = testing::machine(Bare, 8 << 20, Tuning::default().min_free_pages(0));
        let pages: Vec<_> =
            core::iter::from_fn(|| machine.alloc_pages(AllocRequest::movable()).ok()).collect();
        let all = PfnRange::with_len(machine.span().start(), pages.len());
        let obstacle = |range| Survey::new(&machine, &machine.zones()[2], true).last_obstacle(range);
        assert!(obstacle(all).is_none());
        machine.free_pages(all.start().up(700), Order::ZERO).unwrap();
        machine.drain_all();
        let unmovable = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
        assert_eq!(unmovable, all.start().up(700));
        assert_eq!(obstacle(all).map(|blocked| blocked.frames), Some(PfnRange::with_len(unmovable, 1)));
        let (place, steps) = search(&machine, 1000, 0);
        assert!(place == Some(unmovable.up(1)) && steps <= 12, "{place:?}, {steps} steps");
    }
}
