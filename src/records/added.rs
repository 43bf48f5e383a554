//! Records that are added after boot, for memory that is added to the machine.
//!
//! A [`Chunk`] has the records of one extent, in arrays of its own. Readers take no lock: they load
//! the address of a [`Directory`] of all chunks, which never changes. Adding a chunk makes a new
//! directory, which has one chunk more, and stores its address. It is in the memory of its last
//! chunk, and knows the directory before it. Old directories stay where they are, because readers
//! may be using them. A directory has 16 bytes for each chunk.
//!
//! Chunks are removed in the reverse order: the directory before is stored again. The last
//! directory and its last chunk are in memory that no other directory refers to, so that this
//! memory can be used for something else, if no reader is left.
//!
//! **Why a reader finds complete records.** The records of the chunk and the new directory are
//! written before the address is stored, with `Release`, and the address is loaded with `Acquire`.
//! So a reader that finds a chunk finds it complete, whatever it knows otherwise.
//!
//! **Why a CPU that has a frame finds its record.** Until the chunk is published its frames are
//! foreign. Then they are holes, until `add_memory` frees them with the zone locked. A CPU that
//! gets such a frame from the allocator got it with that lock, or from a CPU that did and that
//! handed the frame over as any memory must be handed over. Each of these happens after the store
//! of the address, so that no older directory can be loaded.
//!
//! **Why a removed chunk has no reader.** A reader is a call of the allocator: no reference to a
//! chunk outlives the call, because handles, lists and bitmaps have numbers of frames. A call that
//! begins after the older directory was stored, and that knows of it, loads that one or a later
//! one. So when all calls that were running then have returned, nothing refers to the chunk.
//! [`Withdrawn::reclaim`] asks its caller to know that, as only the kernel can.

#![expect(unsafe_code, reason = "a published address becomes a reference")]

use crate::base::{Pfn, PfnRange};
use crate::records::buddy_tree::{PageblockSummary, TreeWord};
use crate::records::cells::{StateCell, WordCell};
use crate::records::extent::Extent;
use crate::records::frame_index::FrameIndex;
use crate::records::pageblock_state::PageblockCell;
use crate::records::site_cell::SiteCell;
use crate::sync::{AtomicPtr, Guard, Lock, Ordering, Written};

/// The records of an extent that was added.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) extent: Extent,
    pub(crate) states: &'static [StateCell],
    pub(crate) words: &'static [WordCell],
    pub(crate) pageblocks: &'static [PageblockCell],
    pub(crate) summaries: &'static [PageblockSummary],
    pub(crate) trees: &'static [TreeWord],
    pub(crate) isolated: &'static [WordCell],
    /// The frames of the extent that have these records, if any.
    pub(crate) own: PfnRange,
    /// Zero-sized without the feature `page_owner`.
    #[cfg_attr(not(feature = "page_owner"), expect(dead_code, reason = "nothing is stored in it"))]
    pub(crate) sites: &'static [SiteCell],
}

impl Chunk {
    pub(crate) fn extent(&self) -> Extent {
        self.extent
    }

    fn offset(&self, index: FrameIndex) -> usize {
        index.number().wrapping_sub(self.extent.first().number()) as usize
    }

    pub(crate) fn state(&self, index: FrameIndex) -> Option<&StateCell> {
        self.states.get(self.offset(index))
    }

    pub(crate) fn word(&self, index: FrameIndex) -> Option<&WordCell> {
        self.words.get(self.offset(index))
    }

    #[cfg(feature = "page_owner")]
    pub(crate) fn site(&self, index: FrameIndex) -> Option<&SiteCell> {
        self.sites.get(self.offset(index))
    }

    /// The states of a part of the extent.
    pub(crate) fn states_of(&self, part: Extent) -> &[StateCell] {
        self.states_from(part.first(), part.frames().len())
    }

    /// The states of so many frames of the extent, from this one on.
    pub(crate) fn states_from(&self, first: FrameIndex, frames: usize) -> &[StateCell] {
        self.states.get(self.offset(first)..).and_then(|states| states.get(..frames)).unwrap_or(&[])
    }
}

/// All chunks that there were at some moment.
#[derive(Debug)]
pub(crate) struct Directory {
    chunks: &'static [&'static Chunk],
    /// The same, in ascending order of frames. The others are in ascending order of indices.
    by_frame: &'static [&'static Chunk],
    /// Without the last chunk; `None` if it has no other.
    before: Option<&'static Directory>,
    written: Written,
}

impl Directory {
    /// `chunks` are all chunks in ascending order of indices, `by_frame` in ascending order of
    /// frames. `before` has all but the last of `chunks`.
    pub(crate) fn new(
        chunks: &'static [&'static Chunk],
        by_frame: &'static [&'static Chunk],
        before: Option<&'static Directory>,
    ) -> Self {
        let written = Written::new();
        written.write();
        Self { chunks, by_frame, before, written }
    }

    /// All chunks, in ascending order of indices.
    pub(crate) fn chunks(&self) -> &'static [&'static Chunk] {
        self.chunks
    }
}

/// A chunk that was removed, and the directory that is in the same memory.
#[derive(Debug)]
pub(crate) struct Withdrawn(&'static Directory);

impl Withdrawn {
    /// The frames of the removed extent that had its records, if any.
    pub(crate) fn own_frames(&self) -> PfnRange {
        self.0.chunks.last().map_or(PfnRange::with_len(Pfn::new(0), 0), |chunk| chunk.own)
    }

    /// Ends the use of the memory, which may then have other contents.
    ///
    /// # Safety
    ///
    /// Every call of the allocator that was running when the chunk was removed has returned, and
    /// this knows of that.
    pub(crate) unsafe fn reclaim(self) {
        self.0.written.write();
    }
}

/// The records that were added after boot.
#[derive(Debug)]
pub(crate) struct Added {
    /// Null until the first chunk is added.
    directory: AtomicPtr<Directory>,
    /// Held while a chunk is added.
    adding: Lock<()>,
}

impl Added {
    pub(crate) fn new() -> Self {
        Self { directory: AtomicPtr::new(core::ptr::null_mut()), adding: Lock::new(()) }
    }

    /// The current directory; `None` if nothing was added.
    pub(crate) fn directory(&self) -> Option<&'static Directory> {
        let directory = self.directory.load(Ordering::Acquire);
        // SAFETY: only `publish` and `withdraw` store an address, that of a directory that never
        // changes, and that was complete before the store, which this load synchronises with. Its
        // memory has other contents only after `Withdrawn::reclaim`, whose caller waits until the
        // call that loads here has returned.
        let directory = unsafe { directory.as_ref() }?;
        directory.written.read();
        Some(directory)
    }

    /// The lowest chunk that ends above `pfn`.
    pub(crate) fn at_or_above(&self, pfn: Pfn) -> Option<&'static Chunk> {
        let chunks = self.directory()?.by_frame;
        chunks.get(chunks.partition_point(|chunk| chunk.extent.frames().end() <= pfn)).copied()
    }

    /// The chunk whose extent has this index.
    pub(crate) fn with_index(&self, index: FrameIndex) -> Option<&'static Chunk> {
        let chunks = self.directory()?.chunks;
        let after = chunks.partition_point(|chunk| chunk.extent.first().number() <= index.number());
        let chunk = *chunks.get(after.checked_sub(1)?)?;
        (chunk.offset(index) < chunk.states.len()).then_some(chunk)
    }

    /// All chunks, in ascending order of indices.
    pub(crate) fn chunks(&self) -> &'static [&'static Chunk] {
        self.directory().map_or(&[], |directory| directory.chunks)
    }

    /// As long as the result is held, no other call adds a chunk.
    pub(crate) fn lock(&self) -> Guard<'_, ()> {
        self.adding.lock()
    }

    /// Publishes a directory that has all chunks and one more. The lock must be held since the
    /// chunks were read.
    pub(crate) fn publish(&self, _: &Guard<'_, ()>, directory: &'static mut Directory) {
        self.directory.store(directory, Ordering::Release);
    }

    /// Publishes the directory without the last chunk. The lock must be held since `directory`, the
    /// current one, was read.
    pub(crate) fn withdraw(&self, _: &Guard<'_, ()>, directory: &'static Directory) -> Withdrawn {
        let before =
            directory.before.map_or(core::ptr::null_mut(), |before| core::ptr::from_ref(before).cast_mut());
        self.directory.store(before, Ordering::Release);
        Withdrawn(directory)
    }
}
