//! Plugged memory in the direct map, and the records that live in it.

#![expect(unsafe_code, reason = "promises that plugged memory is mapped as long as its records are used")]

use core::sync::atomic::Ordering;

use pageblock::{AllocRequest, PAGE_SIZE, PfnRange, RecordsError, RemovedRecords};
use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use crate::jobs::GracePeriod;
use crate::memory::allocator;
pub(super) use crate::physical::plugged::NotMapped;
use crate::physical::{phys_to_virt, plugged};
use crate::smp::shootdown;
use crate::space::frame::{words, zero};
use crate::space::pages;

/// Maps the plugged block at `start`.
pub(super) fn map(start: PhysAddr) -> Result<(), NotMapped> {
    plugged::map(start, || {
        let pfn = pages::allocate(AllocRequest::unmovable()).ok()?;
        zero(words(pfn));
        Some(PhysFrame::containing_address(PhysAddr::new(pfn.start_address())))
    })
}

/// Unmaps the block at `start` on every CPU.
pub(super) fn unmap(start: PhysAddr) {
    let unmapped = plugged::unmap(start);
    shootdown::flush(unmapped.0, 1);
}

/// Writes to every page, so that the host provides memory for it now and not when it is first used:
/// the resident memory of QEMU then rises and falls by what is plugged and unplugged.
pub(super) fn touch(range: PfnRange) {
    for pfn in range.iter() {
        words(pfn)[511].store(pfn.number() as u64, Ordering::Relaxed);
    }
}

/// Makes the records of the frames of `section` in its last frames. All of these must be in
/// `block`, which is plugged and mapped.
pub(super) fn add_records(section: PfnRange, block: PfnRange) -> Result<(), RecordsError> {
    let layout = allocator().records_layout(section)?;
    let given = block.len() * PAGE_SIZE as usize;
    if layout.size() > given {
        return Err(RecordsError::MemoryTooSmall { given, needed: layout.size() });
    }
    let offset = phys_to_virt(PhysAddr::new(0)).as_u64();
    // SAFETY: the records are in `block`, as was checked, which is mapped writable and which no
    // other code uses. It stays so until `reclaim`.
    unsafe { allocator().add_records_at_offset(section, offset) }.map(drop)
}

/// Ends the use of records that were removed when that grace period began. It must be over.
pub(super) fn reclaim(removed: RemovedRecords, since: &GracePeriod) {
    assert!(since.is_over(), "a call may still be reading these records");
    // SAFETY: calls of the allocator are within a step of a task, and every CPU has begun another
    // step since. The frames are about to be unmapped.
    let _ = unsafe { removed.reclaim() };
}
