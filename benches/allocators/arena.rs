//! The memory of an allocator: 4 GiB of address space, most of which is never touched.
//!
//! Some allocators keep their records among the frames that they manage. They get a margin beside
//! the 4 GiB for these records, so that every allocator manages exactly [`FRAMES`] frames.

use memmap2::{Advice, MmapMut, MmapOptions};
use pageblock::{Order, PAGE_SIZE};

/// The number of page frames that every allocator manages: 4 GiB.
pub(crate) const FRAMES: usize = 1 << 20;

/// The size of these frames in bytes.
pub(crate) const BYTES: usize = FRAMES * PAGE_SIZE as usize;

/// The size of the margin for records, on either side of the frames.
pub(crate) const MARGIN: usize = 32 << 20;

/// The alignment of the first frame: the size of the largest block of any allocator here.
const ALIGN: usize = Order::LIMIT.pages() * PAGE_SIZE as usize;

/// The size of the pages that back the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backing {
    /// 2 MiB where the host supports it, as kernels map all of memory.
    Huge,
    /// 4 KiB. Initialisation then takes a page fault for each page that it touches.
    Small,
}

/// Zeroed memory for one allocator.
#[derive(Debug)]
pub(crate) struct Arena {
    memory: MmapMut,
    start: usize,
}

impl Arena {
    pub(crate) fn new(backing: Backing) -> Self {
        let length = MARGIN + ALIGN + BYTES + MARGIN;
        let memory = MmapOptions::new().len(length).no_reserve_swap().map_anon().expect("address space");
        // The advice fails if the host has no huge pages; then small ones are used.
        let _ = memory.advise(match backing {
            Backing::Huge => Advice::HugePage,
            Backing::Small => Advice::NoHugePage,
        });
        let start = (memory.as_ptr().expose_provenance() + MARGIN).next_multiple_of(ALIGN);
        Self { memory, start }
    }

    /// The address of the first frame.
    ///
    /// At least [`MARGIN`] bytes before the first and after the last frame are part of the arena.
    /// The provenance of the whole arena is exposed.
    pub(crate) fn start(&self) -> usize {
        debug_assert!(self.start >= self.memory.as_ptr().addr() + MARGIN);
        self.start
    }

    /// Touches the margins, so that initialisation takes no page faults, as in a kernel that has
    /// mapped its memory.
    pub(crate) fn touch_margins(&mut self) {
        let end = self.memory.len();
        let before = self.start - self.memory.as_ptr().addr();
        self.memory[..before].fill(0);
        self.memory[before + BYTES..end].fill(0);
    }
}
