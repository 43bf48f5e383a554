//! The memory that stands for a machine's: 4 GiB of address space, of which only what allocators write to becomes real.
//!
//! Allocators that keep their records among the frames they manage get room for them beside the 4 GiB, so that each manages
//! exactly [`FRAMES`]. Neighbour: the adapters in `peers/`.

use memmap2::{Advice, MmapMut, MmapOptions};
use pageblock::{Order, PAGE_SIZE};

/// Page frames that every allocator manages: 4 GiB.
pub(crate) const FRAMES: usize = 1 << 20;

/// Bytes of the frames.
pub(crate) const BYTES: usize = FRAMES * PAGE_SIZE as usize;

/// Room for records, on either side of the frames.
pub(crate) const MARGIN: usize = 32 << 20;

/// The frames begin at a multiple of this, the largest block of any allocator here.
const ALIGN: usize = Order::LIMIT.pages() * PAGE_SIZE as usize;

/// How the machine backs the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backing {
    /// By 2 MiB pages where it can, as kernels map all of memory.
    Huge,
    /// By 4 KiB pages, each with a fault of its own: initialisation pays for every page that it touches.
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
        // Where the machine has no huge pages the advice fails, and small ones it is.
        let _ = memory.advise(match backing {
            Backing::Huge => Advice::HugePage,
            Backing::Small => Advice::NoHugePage,
        });
        let start = (memory.as_ptr().expose_provenance() + MARGIN).next_multiple_of(ALIGN);
        Self { memory, start }
    }

    /// The address of the first frame. At least `MARGIN` bytes before it and after the last frame belong to the arena too, and the
    /// pointer's provenance, all of it, is exposed.
    pub(crate) fn start(&self) -> usize {
        debug_assert!(self.start >= self.memory.as_ptr().addr() + MARGIN);
        self.start
    }

    /// Makes the room for records real, as memory is that a kernel has mapped: initialisation then pays for no page fault.
    pub(crate) fn touch_margins(&mut self) {
        let end = self.memory.len();
        let before = self.start - self.memory.as_ptr().addr();
        self.memory[..before].fill(0);
        self.memory[before + BYTES..end].fill(0);
    }
}
