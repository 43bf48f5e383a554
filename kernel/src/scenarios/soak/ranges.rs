//! Contiguous and exact ranges.

use pageblock::{AllocRequest, ContigOptions, ContigPlace, Order, PfnRange};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::memory::allocator;
use crate::scenarios::soak::counts;
use crate::scenarios::soak::held::{Held, Source};
use crate::scenarios::soak::owners::Owners;

/// The task that allocates and frees them.
pub(super) type Ranges = Held<FromAllocator, 12>;

pub(super) struct FromAllocator;

pub(super) fn task(seed: u64) -> Ranges {
    Ranges::new(FromAllocator, seed ^ 0x1 << 48)
}

impl Source for FromAllocator {
    const SPLIT_ONE_IN: u32 = 2;
    const UPPER_FIRST: bool = true;

    fn allocate(&self, rng: &mut SmallRng) -> Option<PfnRange> {
        if rng.random_ratio(1, 2) {
            let exact = allocator().alloc_exact(rng.random_range(1..=700), AllocRequest::unmovable());
            return exact.ok().map(|exact| exact.into_raw());
        }
        let pages = match rng.random_range(0..4) {
            0 => rng.random_range(1..=8),
            1 => rng.random_range(512..=2048),
            _ => rng.random_range(1..=1024),
        };
        let place = ContigPlace::anywhere().aligned(Order::new(rng.random_range(0..=6)));
        let owners = Owners::new();
        let taken =
            allocator().alloc_contig_pages(pages, place, &owners, ContigOptions::default().attempts(2));
        taken.ok().map(|range| range.into_raw())
    }

    fn free(&self, part: PfnRange, whole: PfnRange) {
        if let Err(error) = allocator().free_range(part) {
            panic!("freeing {part} of {whole}: {error}");
        }
    }

    fn count(&self) {
        counts::RANGES.add(1);
    }
}
