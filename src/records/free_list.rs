//! A doubly linked list of free blocks, linked through the words of their frames.
//!
//! It is for blocks of at least the pageblock order; smaller ones are in the
//! [`buddy_tree`](crate::records) of their pageblock. It is used as a stack: the block that was
//! pushed last is first, except for blocks that are pushed at the back. Orders, kinds, counters and
//! the lock are left to the caller.

use crate::base::Pfn;
use crate::records::frame_index::FrameIndex;
use crate::records::frame_table::{FrameTable, Links};

/// A stack of blocks, from which any block can be removed.
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

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn first(&self, frames: &FrameTable<'_>) -> Option<Pfn> {
        (!self.front.is_none()).then(|| frames.pfn(self.front))
    }

    /// Pushes a block that is on no list.
    pub(crate) fn push(&mut self, frames: &FrameTable<'_>, pfn: Pfn) {
        let index = frames.index_of(pfn);
        frames.set_links(index, Links { next: self.front, prev: FrameIndex::NONE });
        if self.front.is_none() {
            self.back = index;
        } else {
            frames.set_prev(self.front, index);
        }
        self.front = index;
        self.len = self.len.wrapping_add(1);
    }

    /// Pushes a block that is on no list at the back: it is first when all others are gone.
    pub(crate) fn push_back(&mut self, frames: &FrameTable<'_>, pfn: Pfn) {
        let index = frames.index_of(pfn);
        frames.set_links(index, Links { next: FrameIndex::NONE, prev: self.back });
        if self.back.is_none() {
            self.front = index;
        } else {
            frames.set_next(self.back, index);
        }
        self.back = index;
        self.len = self.len.wrapping_add(1);
    }

    /// Removes a block, which must be on this list.
    pub(crate) fn remove(&mut self, frames: &FrameTable<'_>, pfn: Pfn) {
        let Links { prev, next } = frames.links(frames.index_of(pfn));
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
        self.len = self.len.wrapping_sub(1);
    }

    /// The blocks on the list, front to back, by following the links. It ends after one block more
    /// than the list has, so that the walk of a damaged list ends, with a wrong count.
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
        .take(self.len.saturating_add(1))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::FreeList;
    use crate::base::Pfn;
    use crate::records::frame_table::FrameTable;
    use crate::records::frame_table::testing::Arrays;

    fn numbers(list: &FreeList, frames: &FrameTable<'_>) -> Vec<usize> {
        list.iter(frames).map(Pfn::number).collect()
    }

    fn with_table(test: impl FnOnce(&FrameTable<'_>)) {
        test(&Arrays::new(8).table(40));
    }

    #[test]
    fn the_block_that_was_pushed_last_is_first() {
        with_table(|frames| {
            let mut list = FreeList::new();
            assert_eq!((list.len(), list.first(frames)), (0, None));
            for n in [41, 43, 42] {
                list.push(frames, Pfn::new(n));
            }
            assert_eq!((numbers(&list, frames), list.len()), (vec![42, 43, 41], 3));
            assert_eq!(list.first(frames), Some(Pfn::new(42)));
        });
    }

    #[test]
    fn a_block_at_the_back_is_first_when_all_others_are_gone() {
        with_table(|frames| {
            let mut list = FreeList::new();
            for n in [41, 42] {
                list.push_back(frames, Pfn::new(n));
            }
            list.push(frames, Pfn::new(43));
            assert_eq!((numbers(&list, frames), list.len()), (vec![43, 41, 42], 3));
            for n in [42, 43, 41] {
                list.remove(frames, Pfn::new(n));
                list.push_back(frames, Pfn::new(n));
            }
            assert_eq!((numbers(&list, frames), list.len()), (vec![42, 43, 41], 3));
            for n in [41, 42, 43] {
                list.remove(frames, Pfn::new(n));
            }
            assert_eq!((list.len(), list.first(frames)), (0, None));
            list.push_back(frames, Pfn::new(44));
            assert_eq!(list.first(frames), Some(Pfn::new(44)));
        });
    }

    #[test]
    fn any_block_can_be_removed() {
        with_table(|frames| {
            for gone in [41, 42, 43] {
                let mut list = FreeList::new();
                for n in [41, 42, 43] {
                    list.push(frames, Pfn::new(n));
                }
                list.remove(frames, Pfn::new(gone));
                let left: Vec<_> = [43, 42, 41].into_iter().filter(|n| *n != gone).collect();
                assert_eq!(numbers(&list, frames), left);
                assert_eq!(list.len(), 2);
            }
        });
    }

    #[test]
    fn a_walk_of_a_damaged_list_ends() {
        with_table(|frames| {
            let mut list = FreeList::new();
            list.push(frames, Pfn::new(41));
            frames.set_next(frames.index_of(Pfn::new(41)), frames.index_of(Pfn::new(41)));
            assert_eq!(list.iter(frames).count(), 2);
        });
    }
}
