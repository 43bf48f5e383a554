//! Ranges of the CMA area.

use pageblock::{CmaArea, Order, PfnRange};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::memory::allocator;
use crate::scenarios::soak::counts;
use crate::scenarios::soak::held::{Held, Source};
use crate::scenarios::soak::owners::Owners;

/// The task that allocates and frees them.
pub(super) type Area = Held<FromArea, 8>;

pub(super) struct FromArea(&'static CmaArea<'static>);

pub(super) fn task(area: &'static CmaArea<'static>, seed: u64) -> Area {
    Area::new(FromArea(area), seed ^ 0x2 << 48)
}

impl Source for FromArea {
    const SPLIT_ONE_IN: u32 = 4;
    const UPPER_FIRST: bool = false;

    fn allocate(&self, rng: &mut SmallRng) -> Option<PfnRange> {
        let most = (self.0.range().len() / 8).max(1);
        let (pages, align) = (rng.random_range(1..=most), Order::new(rng.random_range(0..=4)));
        self.0.alloc(allocator(), pages, align, &Owners::new()).ok()
    }

    fn free(&self, part: PfnRange, whole: PfnRange) {
        if let Err(error) = self.0.free(allocator(), part) {
            panic!("freeing {part} of {whole} of the CMA area: {error}");
        }
    }

    fn count(&self) {
        counts::CMA.add(1);
    }
}
