//! The memory for the records of an extent that is added after boot.
//!
//! It has the [arrays](crate::boot) that the metadata has for frames and pageblocks, and the
//! directory of all chunks, with one chunk more.

use core::alloc::Layout;
use core::mem::MaybeUninit;

use crate::base::{Geometry, PfnRange, ZoneKind};
use crate::boot::arrays::{self, Lengths};
use crate::boot::zeroed::fill;
use crate::records::{
    Chunk, Directory, Extent, FrameState, PageblockCell, PageblockSummary, SiteCell, StateCell, TreeWord,
    WordCell,
};

/// The offset of each array in bytes. The directory is first, the records are last.
struct Offsets {
    chunks: usize,
    by_frame: usize,
    chunk: usize,
    records: arrays::Offsets,
}

/// For these records, after `before` chunks.
fn offsets(lengths: &Lengths, before: usize) -> Option<Offsets> {
    let list = Layout::array::<&Chunk>(before + 1).ok()?;
    let (all, chunks) = Layout::new::<Directory>().extend(list).ok()?;
    let (all, by_frame) = all.extend(list).ok()?;
    let (all, chunk) = all.extend(Layout::new::<Chunk>()).ok()?;
    Some(Offsets { chunks, by_frame, chunk, records: lengths.after(all)? })
}

/// The layout of the memory for the records of `frames` frames, after `before` chunks; `None` if it
/// is larger than any memory.
pub(crate) fn chunk_layout<G: Geometry>(frames: usize, before: usize) -> Option<Layout> {
    Some(offsets(&Lengths::new::<G>(frames), before)?.records.all)
}

/// Makes the records of an extent, whose frames are holes, except that those of `reserved` are
/// reserved, because they have the records. Returns the directory that has them after the chunks of
/// `before`. On failure returns the size that `memory` must have.
pub(crate) fn make_chunk<G: Geometry>(
    memory: &'static mut [MaybeUninit<u8>],
    extent: Extent,
    reserved: PfnRange,
    directory_before: Option<&'static Directory>,
) -> Result<&'static mut Directory, usize> {
    let before = directory_before.map_or(&[][..], Directory::chunks);
    let lengths = Lengths::new::<G>(extent.frames().len());
    let offsets = offsets(&lengths, before.len()).ok_or(usize::MAX)?;
    let all = offsets.records.all;
    let skipped = memory.as_ptr().align_offset(all.align());
    let needed = all.size().saturating_add(skipped);
    let memory = memory.get_mut(skipped..).ok_or(needed)?;
    let (memory, records) = offsets.records.split(memory.get_mut(..all.size()).ok_or(needed)?);
    let (memory, place) = memory.split_at_mut(offsets.chunk);
    let (memory, by_frame) = memory.split_at_mut(offsets.by_frame);
    let (directory, chunks) = memory.split_at_mut(offsets.chunks);

    let first = extent.frames().start();
    let zone = |number| ZoneKind::of::<G>(first.up(number * G::PAGEBLOCK_ORDER.pages()));
    let state = |offset| match reserved.contains(first.up(offset)) {
        true => FrameState::RESERVED,
        false => FrameState::HOLE,
    };
    let states: &[_] = fill(records.states, lengths.frames, |offset| StateCell::new(state(offset).to_bits()));
    let words: &[_] = fill(records.words, lengths.frames, |_| WordCell::new(0));
    let sites: &[_] = fill(records.sites, lengths.frames, |_| SiteCell::new());
    let pageblocks: &[_] =
        fill(records.pageblocks, lengths.pageblocks, |number| PageblockCell::of_zone(zone(number)));
    let summaries: &[_] = fill(records.summaries, lengths.pageblocks, |_| PageblockSummary::new());
    let trees: &[_] = fill(records.trees, lengths.trees, |_| TreeWord::new(0));
    let isolated: &[_] = fill(records.isolated, lengths.isolated, |_| WordCell::new(0));
    let chunk =
        |_| Chunk { extent, states, words, pageblocks, summaries, trees, isolated, sites, own: reserved };
    let own: &Chunk = &fill(place, 1, chunk)[0];
    let all = |number: usize| before.get(number).copied().unwrap_or(own);
    let by_frame = fill(by_frame, before.len() + 1, all);
    by_frame.sort_unstable_by_key(|chunk| chunk.extent().frames().start());
    let (chunks, by_frame): (&[_], &[_]) = (fill(chunks, before.len() + 1, all), by_frame);
    Ok(&mut fill(directory, 1, |_| Directory::new(chunks, by_frame, directory_before))[0])
}
