//! Frees a range of frames, however its frames were allocated: the one call that needs no order.
//!
//! A block that has frames in and outside the range is split first. Only the first and the last
//! block of the range can be such a block. Both are split or none is: if both must be, the first is
//! pinned, as for a migration, until the second has been split.

use crate::base::{FrameKind, Geometry, Order, Pfn, PfnRange, Platform, aligned_blocks};
use crate::contig::contig_range::free_contig;
use crate::contig::move_block::unpin;
use crate::page_allocator::{FreeError, PageAllocator, check_owned};
use crate::records::{FrameState, Migration};

/// An allocated block with frames in and outside the range.
#[derive(Clone, Copy)]
struct Cut {
    head: Pfn,
    order: Order,
}

impl Cut {
    /// The blocks that it is split into: those below, in, and above the range.
    fn pieces<G: Geometry>(self, range: PfnRange) -> impl Iterator<Item = (Pfn, Order)> {
        let block = self.order.block(self.head);
        let below = PfnRange::new(block.start(), range.start());
        let above = PfnRange::new(range.end().max(block.start()), block.end());
        let parts = [below, block.intersection(range), above];
        parts.into_iter().flat_map(|part| aligned_blocks(part, G::MAX_ORDER))
    }
}

/// Frees the frames of `range`, all of which are allocated, after checking all of them.
pub(crate) fn free_range<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<(), FreeError> {
    let cuts = check(allocator, range).map_err(|error| allocator.count_refused(error))?;
    split(allocator, range, cuts).map_err(|error| allocator.count_refused(error))?;
    let mut pfn = range.start();
    while pfn < range.end() {
        // Other code, which does not own it, may have freed or pinned the block since the check.
        let (head, state) = block_at(allocator, pfn).map_err(|error| allocator.count_refused(error))?;
        let block = state.order().block(head);
        if state.is(FrameKind::Contig) {
            free_contig(allocator, block.intersection(range), false)?;
        } else {
            allocator.free_pages(head, state.order())?;
        }
        pfn = block.end();
    }
    Ok(())
}

/// Checks that every frame of the range is allocated and may be freed here. Returns the blocks that
/// must be split first.
fn check<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<[Option<Cut>; 2], FreeError> {
    if range.is_empty() {
        return Err(FreeError::BadRange { range });
    }
    let mut cuts = [None; 2];
    let mut pfn = range.start();
    while pfn < range.end() {
        let (head, state) = block_at(allocator, pfn)?;
        let order = state.order();
        let block = order.block(head);
        if state.is(FrameKind::Contig) {
            if state.is_pinned() {
                return Err(FreeError::Pinned { pfn });
            }
            if state.is_of_area() {
                return Err(FreeError::OfCmaArea { pfn });
            }
        } else if !range.covers(block) {
            if state.migration() != Migration::None {
                return Err(FreeError::Migrating { pfn: head });
            }
            let [first, second] = &mut cuts;
            let cut = if first.is_none() { first } else { second };
            *cut = Some(Cut { head, order });
        }
        pfn = block.end();
    }
    Ok(cuts)
}

/// The allocated block that includes a frame, and its state.
fn block_at<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    pfn: Pfn,
) -> Result<(Pfn, FrameState), FreeError> {
    let desc = allocator.desc();
    let head = desc.frames.head_of(pfn, G::MAX_ORDER);
    if let Some((head, state)) = head {
        let owned = state.is(FrameKind::Allocated) && state.migration() != Migration::Freed;
        if owned || state.is(FrameKind::Contig) {
            return Ok((head, state));
        }
    }
    check_owned::<G>(desc, pfn, Order::ZERO, desc.frames.state(pfn))?;
    // It became an allocated page just now, so that the caller did not own it.
    Err(FreeError::DoubleFree { pfn })
}

/// Splits these blocks, or none of them.
fn split<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    cuts: [Option<Cut>; 2],
) -> Result<(), FreeError> {
    let split = |cut: Cut| {
        let done = allocator.split_owned(cut.head, cut.order, cut.pieces::<G>(range));
        if done { Ok(()) } else { Err(FreeError::Migrating { pfn: cut.head }) }
    };
    match cuts {
        [Some(first), Some(second)] => {
            pin(allocator, first)?;
            if let Err(error) = split(second) {
                unpin(allocator, first.head);
                return Err(error);
            }
            if allocator.split_pinned(first.head, first.pieces::<G>(range)) {
                Ok(())
            } else {
                // Freed by other code meanwhile.
                unpin(allocator, first.head);
                Err(FreeError::DoubleFree { pfn: first.head })
            }
        }
        [Some(cut), None] | [None, Some(cut)] => split(cut),
        [None, None] => Ok(()),
    }
}

/// Pins an allocated block, so that no migration does.
fn pin<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>, cut: Cut) -> Result<(), FreeError> {
    let frames = &allocator.desc().frames;
    loop {
        let state = frames.state(cut.head);
        if !state.is_idle(cut.order) {
            return Err(FreeError::Migrating { pfn: cut.head });
        }
        if frames.exchange(cut.head, state, state.with_migration(Migration::Moving)).is_ok() {
            return Ok(());
        }
    }
}
