//! The contents of a frame, as 512 atomic words.
//!
//! All accesses of this kernel to the contents of frames use [`words`], through the direct map, or
//! [`mapped_words`], at the address where a space maps the page. The words are atomic because
//! frames are accessed concurrently: one CPU copies a page while another one faults on it, and the
//! hardware walks page tables while they are changed.

#![expect(unsafe_code, reason = "turns addresses of frames into references")]

use core::arch::asm;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{Order, Pfn};
use x86_64::{PhysAddr, VirtAddr};

use crate::physical::phys_to_virt;

/// The contents of a frame.
pub(crate) type Words = [AtomicU64; 512];

/// The contents of the frame `pfn`, through the direct map.
pub(crate) fn words(pfn: Pfn) -> &'static Words {
    let address = phys_to_virt(PhysAddr::new(pfn.start_address()));
    // SAFETY: the direct map covers every frame that the allocator manages, for as long as the
    // kernel runs, writable and page-aligned. All accesses to the contents of frames are atomic, so
    // any number of such references is no data race.
    unsafe { &*address.as_ptr::<Words>() }
}

/// The contents of a block, through the direct map.
pub(crate) fn words_of_block(pfn: Pfn, order: Order) -> &'static [AtomicU64] {
    let address = phys_to_virt(PhysAddr::new(pfn.start_address()));
    // SAFETY: as above, for each frame of the block.
    unsafe { slice::from_raw_parts(address.as_ptr(), order.pages() * 512) }
}

/// The contents of the page at `address` of the space that is active on this CPU.
///
/// The caller holds the proof that the space is active (`Active`) and has mapped the page. An
/// access to a page that is not mapped ends in a page fault, whose report names the address.
pub(super) fn mapped_words(address: VirtAddr) -> &'static Words {
    debug_assert!(address.is_aligned(4096_u64));
    // SAFETY: the address is in the window of user pages, which contains no kernel objects. A page
    // there is either mapped, writable and page-aligned, or the access faults and waits. Accesses
    // are atomic, as above.
    unsafe { &*address.as_ptr::<Words>() }
}

/// Copies a frame with `rep movsq`: processors copy whole cache lines at a time, and emulators copy
/// words (where the `rep movsb` of a `memcpy` would copy bytes).
pub(crate) fn copy(from: &Words, to: &Words) {
    // SAFETY: both are whole frames, whose words may be read and written through shared references.
    // The direction flag is clear by the ABI.
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

/// Fills a frame with zeros.
pub(crate) fn zero(words: &Words) {
    for word in words {
        word.store(0, Ordering::Relaxed);
    }
}
