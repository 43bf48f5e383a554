//! Which frame of a range cannot become free, and why.

use crate::base::{FrameKind, Geometry, MigrateError, Mobility, NotFree, Obstacle, PfnRange};
use crate::records::{Descriptors, Found, FrameState, Migration};

/// The first frame of `range` that cannot become free. Exact only for blocks that the locks of the
/// caller keep unchanged. `spare_bad`: whether a bad frame is none.
pub(super) fn find_unmovable<G: Geometry>(
    desc: &Descriptors<'_, G>,
    range: PfnRange,
    spare_bad: bool,
) -> Option<NotFree> {
    let frames = &desc.frames;
    let mut blocks = frames.blocks(range, G::MAX_ORDER);
    loop {
        blocks.pass_over_movable();
        let Found { pfn, block } = blocks.next()?;
        let Some((_, state)) = block else {
            match frames.state(pfn).kind() {
                kind @ (FrameKind::Hole | FrameKind::Reserved) => {
                    return Some(NotFree { pfn, reason: Obstacle::NotManaged(kind) });
                }
                // Another CPU is splitting or merging the block.
                _ => continue,
            }
        };
        let is_spared = spare_bad && state.is(FrameKind::HwPoison);
        if state.pages_if_movable() == 0 && !is_spared {
            return Some(NotFree { pfn, reason: obstacle_of(state) });
        }
    }
}

/// Why a block in this state is not free and isolated.
pub(crate) fn obstacle_of(state: FrameState) -> Obstacle {
    match state.kind() {
        FrameKind::Allocated if state.mobility() != Mobility::Movable => {
            Obstacle::Allocated(state.mobility())
        }
        FrameKind::Allocated if state.migration() == Migration::None => {
            Obstacle::NotMigrated(MigrateError::Busy)
        }
        FrameKind::Allocated => Obstacle::Moving,
        FrameKind::Contig if state.is_pinned() => Obstacle::Pinned,
        FrameKind::Contig => Obstacle::Contig,
        FrameKind::Cached | FrameKind::Tail => Obstacle::Cached,
        FrameKind::Guard => Obstacle::Guard,
        FrameKind::Free | FrameKind::Parked => Obstacle::NotIsolated,
        FrameKind::HwPoison => Obstacle::HwPoison,
        FrameKind::Reporting => Obstacle::Reporting,
        kind @ (FrameKind::Hole | FrameKind::Reserved | FrameKind::Offline) => Obstacle::NotManaged(kind),
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::find_unmovable;
    use crate::base::{AllocRequest, FrameKind, NotFree, Obstacle, PfnRange};
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::records::FrameState;

    #[test]
    fn a_frame_that_is_not_managed_any_more_cannot_become_free() {
        let machine = machine(Bare, 8 << 20, Tuning::default());
        let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
        let (desc, range) = (machine.desc(), PfnRange::with_len(pfn, 1));
        assert_eq!(find_unmovable(desc, range, false), None);
        for (state, kind) in
            [(FrameState::HOLE, FrameKind::Hole), (FrameState::RESERVED, FrameKind::Reserved)]
        {
            desc.frames.set_state(pfn, state);
            let found = Some(NotFree { pfn, reason: Obstacle::NotManaged(kind) });
            assert_eq!(find_unmovable(desc, range, false), found);
        }
    }
}
