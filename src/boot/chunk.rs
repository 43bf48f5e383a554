//! The memory for the records of an extent that is added after boot.
//!
//! It has the arrays that the [`metadata`](crate::boot) has for frames and pageblocks, and the
//! directory of all chunks, with one chunk more.

use core::alloc::Layout;
use core::mem::MaybeUninit;

use crate::base::{Geometry, PfnRange, ZoneKind};
use crate::boot::zeroed::fill;
use crate::records::{
    BuddyTree, Chunk, Directory, Extent, FrameState, IsolatedFrames, PageblockCell, PageblockSummary,
    SiteCell, StateCell, TreeWord, WordCell,
};

/// The offset of each array in bytes, and the layout of all. The directory is first.
struct Offsets {
    all: Layout,
    chunks: usize,
    by_frame: usize,
    chunk: usize,
    summaries: usize,
    trees: usize,
    isolated: usize,
    words: usize,
    sites: usize,
    states: usize,
    pageblocks: usize,
}

/// The numbers of elements of the arrays.
struct Sizes {
    chunks: usize,
    pageblocks: usize,
    trees: usize,
    isolated: usize,
    frames: usize,
}

impl Sizes {
    /// For `frames` frames, which are whole pageblocks, after `before` chunks.
    fn new<G: Geometry>(frames: usize, before: usize) -> Self {
        let pageblocks = frames / G::PAGEBLOCK_ORDER.pages();
        let (trees, isolated) = (pageblocks * BuddyTree::<G>::WORDS, IsolatedFrames::<G>::words(frames));
        Self { chunks: before + 1, pageblocks, trees, isolated, frames }
    }

    fn offsets(&self) -> Option<Offsets> {
        let list = Layout::array::<&Chunk>(self.chunks).ok()?;
        let (all, chunks) = Layout::new::<Directory>().extend(list).ok()?;
        let (all, by_frame) = all.extend(list).ok()?;
        let (all, chunk) = all.extend(Layout::new::<Chunk>()).ok()?;
        let (all, summaries) = all.extend(Layout::array::<PageblockSummary>(self.pageblocks).ok()?).ok()?;
        let (all, trees) = all.extend(Layout::array::<TreeWord>(self.trees).ok()?).ok()?;
        let (all, isolated) = all.extend(Layout::array::<WordCell>(self.isolated).ok()?).ok()?;
        let (all, words) = all.extend(Layout::array::<WordCell>(self.frames).ok()?).ok()?;
        let (all, sites) = all.extend(Layout::array::<SiteCell>(self.frames).ok()?).ok()?;
        let (all, states) = all.extend(Layout::array::<StateCell>(self.frames).ok()?).ok()?;
        let (all, pageblocks) = all.extend(Layout::array::<PageblockCell>(self.pageblocks).ok()?).ok()?;
        let all = all.pad_to_align();
        Some(Offsets {
            all,
            chunks,
            by_frame,
            chunk,
            summaries,
            trees,
            isolated,
            words,
            sites,
            states,
            pageblocks,
        })
    }
}

/// The layout of the memory for the records of `frames` frames, after `before` chunks; `None` if it
/// is larger than any memory.
pub(crate) fn chunk_layout<G: Geometry>(frames: usize, before: usize) -> Option<Layout> {
    Some(Sizes::new::<G>(frames, before).offsets()?.all)
}

/// Makes the records of an extent, whose frames are holes, except that those of `reserved` are
/// reserved. Returns the directory that has them after the chunks of `before`. On failure returns
/// the size that `memory` must have.
pub(crate) fn make_chunk<G: Geometry>(
    memory: &'static mut [MaybeUninit<u8>],
    extent: Extent,
    reserved: PfnRange,
    before: &'static [&'static Chunk],
) -> Result<&'static mut Directory, usize> {
    let sizes = Sizes::new::<G>(extent.frames().len(), before.len());
    let offsets = sizes.offsets().ok_or(usize::MAX)?;
    let skipped = memory.as_ptr().align_offset(offsets.all.align());
    let needed = offsets.all.size().saturating_add(skipped);
    let memory = memory.get_mut(skipped..).ok_or(needed)?;
    let (memory, pageblocks) =
        memory.get_mut(..offsets.all.size()).ok_or(needed)?.split_at_mut(offsets.pageblocks);
    let (memory, states) = memory.split_at_mut(offsets.states);
    let (memory, sites) = memory.split_at_mut(offsets.sites);
    let (memory, words) = memory.split_at_mut(offsets.words);
    let (memory, isolated) = memory.split_at_mut(offsets.isolated);
    let (memory, trees) = memory.split_at_mut(offsets.trees);
    let (memory, summaries) = memory.split_at_mut(offsets.summaries);
    let (memory, place) = memory.split_at_mut(offsets.chunk);
    let (memory, by_frame) = memory.split_at_mut(offsets.by_frame);
    let (directory, chunks) = memory.split_at_mut(offsets.chunks);

    let first = extent.frames().start();
    let zone = |number| ZoneKind::of::<G>(first.up(number * G::PAGEBLOCK_ORDER.pages()));
    let state = |offset| match reserved.contains(first.up(offset)) {
        true => FrameState::RESERVED,
        false => FrameState::HOLE,
    };
    let states: &[_] = fill(states, sizes.frames, |offset| StateCell::new(state(offset).to_bits()));
    let words: &[_] = fill(words, sizes.frames, |_| WordCell::new(0));
    let sites: &[_] = fill(sites, sizes.frames, |_| SiteCell::new());
    let pageblocks: &[_] = fill(pageblocks, sizes.pageblocks, |number| PageblockCell::of_zone(zone(number)));
    let summaries: &[_] = fill(summaries, sizes.pageblocks, |_| PageblockSummary::new());
    let trees: &[_] = fill(trees, sizes.trees, |_| TreeWord::new(0));
    let isolated: &[_] = fill(isolated, sizes.isolated, |_| WordCell::new(0));
    let chunk = |_| Chunk { extent, states, words, pageblocks, summaries, trees, isolated, sites };
    let own: &Chunk = &fill(place, 1, chunk)[0];
    let all = |number: usize| before.get(number).copied().unwrap_or(own);
    let by_frame = fill(by_frame, sizes.chunks, all);
    by_frame.sort_unstable_by_key(|chunk| chunk.extent().frames().start());
    let (chunks, by_frame): (&[_], &[_]) = (fill(chunks, sizes.chunks, all), by_frame);
    Ok(&mut fill(directory, 1, |_| Directory::new(chunks, by_frame))[0])
}
