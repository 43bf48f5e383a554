//! Records that are added after boot, for memory that is added to the machine.
//!
//! A [`Chunk`] has the records of one extent, in arrays of its own, and lives as long as the
//! program. Readers take no lock: they load the address of a [`Directory`] of all chunks, which
//! never changes. Adding a chunk makes a new directory, which has one chunk more, and stores its
//! address. Old directories stay where they are, because readers may be using them. A directory has
//! 16 bytes for each chunk.
//!
//! **Why a reader finds complete records.** The records of the chunk and the new directory are
//! written before the address is stored, with `Release`, and the address is loaded with `Acquire`.
//! So a reader that finds a chunk finds it complete, whatever it knows otherwise.
//!
//! **Why a CPU that has a frame finds its record.** Until the chunk is published its frames are
//! foreign. Then they are holes, until `add_memory` frees them with the zone locked. A CPU that gets
//! such a frame from the allocator got it with that lock, or from a CPU that did and that handed
//! the frame over as any memory must be handed over. Each of these happens after the store of the
//! address, so that no older directory can be loaded.

#![expect(unsafe_code, reason = "a published address becomes a reference")]

use crate::base::Pfn;
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
        let first = self.offset(part.first());
        self.states.get(first..first + part.frames().len()).unwrap_or(&[])
    }
}

/// All chunks that there were at some moment.
#[derive(Debug)]
pub(crate) struct Directory {
    chunks: &'static [&'static Chunk],
    /// The same, in ascending order of frames. The others are in ascending order of indices.
    by_frame: &'static [&'static Chunk],
    written: Written,
}

impl Directory {
    /// `chunks` are all chunks in ascending order of indices, `by_frame` in ascending order of
    /// frames.
    pub(crate) fn new(chunks: &'static [&'static Chunk], by_frame: &'static [&'static Chunk]) -> Self {
        let written = Written::new();
        written.write();
        Self { chunks, by_frame, written }
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

    fn directory(&self) -> Option<&'static Directory> {
        let directory = self.directory.load(Ordering::Acquire);
        // SAFETY: only `publish` stores an address, that of a directory that is never freed and
        // never changed. It was complete before the store, which this load synchronises with.
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
}
