//! A machine for unit tests of what the public interface does not show.

use core::mem::MaybeUninit;
use core::ops::Range;
use core::slice;

use crate::base::{Platform, X86_64};
use crate::boot::{MemoryMap, Metadata};
use crate::page_allocator::allocator::PageAllocator;
use crate::page_allocator::tuning::Tuning;

/// The platform with the default of every item.
pub(crate) struct Bare;

impl Platform for Bare {}

/// A machine with one CPU and this much memory, from 4 GiB on, which is all of zone Normal.
pub(crate) fn machine<P: Platform>(platform: P, bytes: u64, tuning: Tuning) -> PageAllocator<'static, P> {
    let memory = 4 << 30..(4 << 30) + bytes;
    machine_with(platform, slice::from_ref(&memory), tuning)
}

/// A machine with one CPU and memory at these addresses.
pub(crate) fn machine_with<P: Platform>(
    platform: P,
    memory: &[Range<u64>],
    tuning: Tuning,
) -> PageAllocator<'static, P> {
    let mut map = MemoryMap::new();
    for range in memory {
        map.add_usable(range.clone()).unwrap();
    }
    let layout = Metadata::<X86_64>::layout(&map, 1).unwrap();
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    PageAllocator::new(platform, &map, Metadata::new(memory, &map, 1).unwrap(), tuning).unwrap()
}
