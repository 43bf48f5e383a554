//! The boot-time allocator: memory for what lives as long as the kernel (Linux: memblock).
//!
//! It hands out the largest usable region from its end downwards and never takes anything back, so
//! that everything allocated is one range, which the page allocator then leaves out.

#![expect(unsafe_code, reason = "turns free physical memory into references")]

use core::mem::MaybeUninit;
use core::ops::Range;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};

use bootloader_api::BootInfo;
use bootloader_api::info::MemoryRegionKind;
use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use crate::physical::direct_map::{LOW_MEMORY_END, phys_to_virt};

const PAGE_BYTES: usize = 4096;

/// The part of the largest usable region that is not yet allocated.
#[derive(Debug)]
pub(crate) struct EarlyMemory {
    floor: u64,
    cursor: u64,
    end: u64,
}

impl EarlyMemory {
    /// Claims the largest usable region, which the boot protocol promises is unused. Only once.
    pub(crate) fn claim(boot_info: &BootInfo) -> Option<Self> {
        static CLAIMED: AtomicBool = AtomicBool::new(false);
        assert!(!CLAIMED.swap(true, Ordering::Relaxed), "early memory is claimed only once");
        let largest = boot_info
            .memory_regions
            .iter()
            .filter(|region| region.kind == MemoryRegionKind::Usable)
            .map(|region| region.start.max(LOW_MEMORY_END)..region.end)
            .max_by_key(|range| range.end.saturating_sub(range.start))?;
        let end = largest.end & !(PAGE_BYTES as u64 - 1);
        (largest.start < end).then_some(Self { floor: largest.start, cursor: end, end })
    }

    /// Allocates that many bytes, aligned to a page.
    pub(crate) fn bytes(&mut self, bytes: usize) -> &'static mut [MaybeUninit<u8>] {
        let start = self.take(bytes);
        let address = phys_to_virt(PhysAddr::new(start));
        // SAFETY: the range is usable, mapped permanently, and allocated only here.
        unsafe { slice::from_raw_parts_mut(address.as_mut_ptr(), bytes) }
    }

    /// Allocates that many words, all 0.
    pub(crate) fn words(&mut self, words: usize) -> &'static mut [u64] {
        let memory = self.bytes(words * size_of::<u64>());
        memory.fill(MaybeUninit::new(0));
        // SAFETY: the memory is aligned to a page, of that size, initialised, and never freed.
        unsafe { slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), words) }
    }

    /// Moves `value` to memory of its own.
    pub(crate) fn place<T>(&mut self, value: T) -> &'static mut T {
        const { assert!(align_of::<T>() <= PAGE_BYTES) };
        let memory: *mut MaybeUninit<T> = self.bytes(size_of::<T>()).as_mut_ptr().cast();
        // SAFETY: `memory` is large enough, aligned to a page, and never freed.
        unsafe { &mut *memory }.write(value)
    }

    /// Allocates one zeroed frame.
    pub(crate) fn zeroed_frame(&mut self) -> PhysFrame {
        self.bytes(PAGE_BYTES).fill(MaybeUninit::new(0));
        PhysFrame::containing_address(PhysAddr::new(self.cursor))
    }

    /// The physical range of everything that was allocated.
    pub(crate) fn into_taken(self) -> Range<u64> {
        self.cursor..self.end
    }

    fn take(&mut self, bytes: usize) -> u64 {
        let whole_pages = bytes.next_multiple_of(PAGE_BYTES) as u64;
        let start = self.cursor.checked_sub(whole_pages).filter(|&start| start >= self.floor);
        self.cursor = start.expect("the largest region of memory is too small for the kernel's tables");
        self.cursor
    }
}
