//! A list of blocks, linked through their descriptors.
//!
//! One type serves the buddy lists and the pcplists: a doubly linked deque whose length is counted
//! here. It knows nothing of orders, kinds or counters. Which lock protects a list is its owner's
//! affair. Neighbour: [`frame`](crate::frame), which holds the links.

use crate::frame::{FrameIndex, FrameTable, Links};
use crate::pfn::Pfn;

/// Which end of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Taken first: recently used, likely in a cache.
    Front,
    /// Taken last.
    Back,
}

/// A deque of block heads.
#[derive(Debug)]
pub(crate) struct FreeList {
    front: FrameIndex,
    back: FrameIndex,
    len: usize,
}

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self { front: FrameIndex::NONE, back: FrameIndex::NONE, len: 0 }
    }

    /// Blocks on the list.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn first(&self, frames: &FrameTable<'_>) -> Option<Pfn> {
        (!self.front.is_none()).then(|| frames.pfn(self.front))
    }

    /// Puts a block that is on no list on this one.
    #[inline]
    pub(crate) fn push(&mut self, frames: &FrameTable<'_>, pfn: Pfn, end: End) {
        let link = frames.link(pfn);
        match end {
            End::Front => {
                frames.set_links(link, Links { next: self.front, prev: FrameIndex::NONE });
                if self.front.is_none() {
                    self.back = link;
                } else {
                    frames.set_prev(self.front, link);
                }
                self.front = link;
            }
            End::Back => {
                frames.set_links(link, Links { next: FrameIndex::NONE, prev: self.back });
                if self.back.is_none() {
                    self.front = link;
                } else {
                    frames.set_next(self.back, link);
                }
                self.back = link;
            }
        }
        self.len += 1;
    }

    /// Takes the block at `end` off the list.
    #[inline]
    pub(crate) fn pop(&mut self, frames: &FrameTable<'_>, end: End) -> Option<Pfn> {
        let link = match end {
            End::Front => self.front,
            End::Back => self.back,
        };
        if link.is_none() {
            return None;
        }
        let pfn = frames.pfn(link);
        match end {
            End::Front => {
                self.front = frames.next(link);
                if self.front.is_none() {
                    self.back = FrameIndex::NONE;
                } else {
                    frames.set_prev(self.front, FrameIndex::NONE);
                }
            }
            End::Back => {
                self.back = frames.prev(link);
                if self.back.is_none() {
                    self.front = FrameIndex::NONE;
                } else {
                    frames.set_next(self.back, FrameIndex::NONE);
                }
            }
        }
        self.len -= 1;
        Some(pfn)
    }

    /// Takes a block off the list, which it must be on.
    pub(crate) fn remove(&mut self, frames: &FrameTable<'_>, pfn: Pfn) {
        let link = frames.link(pfn);
        let Links { prev, next } = frames.links(link);
        if prev.is_none() {
            self.front = next;
        } else {
            frames.set_next(prev, next);
        }
        if next.is_none() {
            self.back = prev;
        } else {
            frames.set_prev(next, prev);
        }
        self.len -= 1;
    }

    /// The blocks on the list, front to back, as the links tell it. Stops after one more block than
    /// the list should have, so that a damaged list ends the walk with a wrong count.
    pub(crate) fn iter(&self, frames: &FrameTable<'_>) -> impl Iterator<Item = Pfn> {
        let mut at = self.front;
        core::iter::from_fn(move || {
            if at.is_none() {
                return None;
            }
            let pfn = frames.pfn(at);
            at = frames.next(at);
            Some(pfn)
        })
        .take(self.len + 1)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{End, FreeList};
    use crate::frame::FrameTable;
    use crate::frame::testing::Arrays;
    use crate::pfn::Pfn;

    fn numbers(list: &FreeList, frames: &FrameTable<'_>) -> Vec<usize> {
        list.iter(frames).map(Pfn::number).collect()
    }

    fn with_table(test: impl FnOnce(&FrameTable<'_>)) {
        test(&Arrays::new(8).table(40));
    }

    #[test]
    fn both_ends_push_and_pop() {
        with_table(|frames| {
            let mut list = FreeList::new();
            list.push(frames, Pfn::new(41), End::Front);
            list.push(frames, Pfn::new(42), End::Front);
            list.push(frames, Pfn::new(43), End::Back);
            assert_eq!(numbers(&list, frames), [42, 41, 43]);
            assert_eq!(list.pop(frames, End::Back), Some(Pfn::new(43)));
            assert_eq!(list.pop(frames, End::Front), Some(Pfn::new(42)));
            assert_eq!(list.pop(frames, End::Back), Some(Pfn::new(41)));
            assert_eq!(list.pop(frames, End::Front), None);
            assert!(list.len() == 0 && list.first(frames).is_none());
        });
    }

    #[test]
    fn a_block_leaves_from_any_place() {
        with_table(|frames| {
            for gone in [41, 42, 43] {
                let mut list = FreeList::new();
                for n in [41, 42, 43] {
                    list.push(frames, Pfn::new(n), End::Back);
                }
                list.remove(frames, Pfn::new(gone));
                let left: Vec<_> = [41, 42, 43].into_iter().filter(|n| *n != gone).collect();
                assert_eq!(numbers(&list, frames), left);
                assert_eq!(list.len(), 2);
            }
        });
    }

    #[test]
    fn a_walk_of_a_damaged_list_ends() {
        with_table(|frames| {
            let mut list = FreeList::new();
            list.push(frames, Pfn::new(41), End::Front);
            frames.set_next(frames.link(Pfn::new(41)), frames.link(Pfn::new(41)));
            assert_eq!(list.iter(frames).count(), 2);
        });
    }
}
