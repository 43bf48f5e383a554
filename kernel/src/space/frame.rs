//! The contents of a page frame, as 512 atomic words.
//!
//! Every access that this kernel makes to the inside of a frame goes through [`words`] (by the
//! physical-memory mapping) or [`mapped_words`] (by the address at which a space maps it). Atomic
//! words, because frames are shared for real: one CPU copies a page while another one takes a fault
//! on it, and page tables are edited under the hardware's own walks. Neighbours:
//! [`contents`](super::contents) and [`tables`](super::tables) on top, `memory` below.
#![expect(unsafe_code, reason = "turns addresses of frames into references")]

use core::arch::asm;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{Order, Pfn};
use x86_64::{PhysAddr, VirtAddr};

use crate::memory;

/// A frame's contents.
pub(crate) type Words = [AtomicU64; 512];

/// The contents of the frame `pfn`, through the mapping of all physical memory.
pub(crate) fn words(pfn: Pfn) -> &'static Words {
    let address = memory::phys_to_virt(PhysAddr::new(pfn.start_address()));
    // SAFETY: the physical-memory mapping covers every frame that the allocator manages, for as long
    // as the kernel runs, writable and page-aligned; all access to the inside of a frame is by
    // atomic words, so that no number of such references is a data race.
    unsafe { &*address.as_ptr::<Words>() }
}

/// The contents of a block, through the same mapping.
pub(crate) fn words_of_block(pfn: Pfn, order: Order) -> &'static [AtomicU64] {
    let address = memory::phys_to_virt(PhysAddr::new(pfn.start_address()));
    // SAFETY: as above, for each frame of the block.
    unsafe { slice::from_raw_parts(address.as_ptr(), order.pages() * 512) }
}

/// The page at `address` of the space that this CPU has active.
///
/// The caller holds the proof that it is active ([`Active`](super::Active)) and has mapped the page.
/// Access to a page that is not there ends in a page fault that names the address, not in a wild one.
pub(super) fn mapped_words(address: VirtAddr) -> &'static Words {
    debug_assert!(address.is_aligned(4096_u64));
    // SAFETY: the address lies in the window of user pages, which no kernel object shares; a page
    // there is either mapped, writable and page-aligned, or the access faults and waits. Atomic
    // words as above.
    unsafe { &*address.as_ptr::<Words>() }
}

/// Copies a frame, by the instruction for it: processors do whole cache lines at a time, emulators words (the `rep movsb`
/// of `memcpy` they do bytewise).
pub(crate) fn copy(from: &Words, to: &Words) {
    // SAFETY: two whole frames, of which words may be read and written through shared references. The direction flag is clear, as
    // everywhere in compiled code.
    unsafe {
        asm!(
            "rep movsq",
            inout("rcx") from.len() => _,
            inout("rsi") from.as_ptr() => _,
            inout("rdi") to.as_ptr() => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Clears a frame.
pub(crate) fn zero(words: &Words) {
    for word in words {
        word.store(0, Ordering::Relaxed);
    }
}
