//! Blocks on the list of a kind that is not their pageblock's: what historical mistakes leave behind.
//!
//! The blocks within a pageblock are kept with it, so that they cannot be on a wrong list. History could misfile them, and its
//! faults must be able to: such blocks are on lists of their own here, by order and kind, and allocations look there first. Without the
//! `faults` feature there are none and no code. Neighbour: [`super`].

#[cfg(feature = "faults")]
mod on {
    use crate::buddy::ORDERS;
    use crate::frame::state::FrameState;
    use crate::free_list::FreeList;
    use crate::geometry::Geometry;
    use crate::mem_map::MemMap;
    use crate::migratetype::FreeKind;
    use crate::order::Order;
    use crate::pfn::Pfn;

    #[derive(Debug)]
    pub(in crate::buddy) struct Strays([[FreeList; FreeKind::COUNT]; ORDERS]);

    impl Strays {
        pub(in crate::buddy) const fn new() -> Self {
            Self([const { [const { FreeList::new() }; FreeKind::COUNT] }; ORDERS])
        }

        pub(in crate::buddy) fn list(&self, order: Order, kind: FreeKind) -> &FreeList {
            &self.0[order.index()][kind.index()]
        }

        pub(in crate::buddy) fn blocks(&self, order: Order, kind: FreeKind) -> usize {
            self.list(order, kind).len()
        }

        /// Lists a block whose pageblock is not of this kind. False if it is.
        pub(in crate::buddy) fn admit<G: Geometry>(
            &mut self,
            mem: &MemMap<'_, G>,
            pfn: Pfn,
            order: Order,
            kind: FreeKind,
        ) -> bool {
            let stray = mem.kind(pfn) != kind;
            if stray {
                mem.frames.set_state(pfn, FrameState::free(order, kind).stray());
                self.0[order.index()][kind.index()].push(&mem.frames, pfn);
            }
            stray
        }

        /// Takes a block off its list if it is a stray.
        pub(in crate::buddy) fn release<G: Geometry>(
            &mut self,
            mem: &MemMap<'_, G>,
            pfn: Pfn,
            state: FrameState,
        ) -> bool {
            if state.is_stray() {
                self.0[state.order().index()][state.filed().index()].remove(&mem.frames, pfn);
            }
            state.is_stray()
        }

        /// The smallest stray of this kind that is large enough.
        pub(in crate::buddy) fn smallest<G: Geometry>(
            &self,
            mem: &MemMap<'_, G>,
            order: Order,
            kind: FreeKind,
        ) -> Option<Pfn> {
            order.up_to(G::MAX_ORDER).find_map(|order| self.list(order, kind).first(&mem.frames))
        }
    }
}

#[cfg(not(feature = "faults"))]
mod off {
    use crate::frame::state::FrameState;
    use crate::geometry::Geometry;
    use crate::mem_map::MemMap;
    use crate::migratetype::FreeKind;
    use crate::order::Order;
    use crate::pfn::Pfn;

    /// None.
    #[derive(Debug)]
    pub(in crate::buddy) struct Strays;

    #[expect(clippy::unused_self, reason = "as with the feature on")]
    impl Strays {
        pub(in crate::buddy) const fn new() -> Self {
            Self
        }

        #[inline(always)]
        pub(in crate::buddy) fn blocks(&self, _: Order, _: FreeKind) -> usize {
            0
        }

        #[inline(always)]
        pub(in crate::buddy) fn admit<G: Geometry>(
            &mut self,
            _: &MemMap<'_, G>,
            _: Pfn,
            _: Order,
            _: FreeKind,
        ) -> bool {
            false
        }

        #[inline(always)]
        pub(in crate::buddy) fn release<G: Geometry>(
            &mut self,
            _: &MemMap<'_, G>,
            _: Pfn,
            _: FrameState,
        ) -> bool {
            false
        }
    }
}

#[cfg(not(feature = "faults"))]
pub(super) use off::Strays;
#[cfg(feature = "faults")]
pub(super) use on::Strays;
