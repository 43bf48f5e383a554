//! The worst that can happen to a design, made to happen: owners free every page of a unit while it is isolated.
//!
//! Nothing else runs, so that the numbers are the same in each run.

use heapless::Vec;
use pageblock::{AllocRequest, Geometry, X86_64};

use crate::memory::allocator;
use crate::space::pages;

/// By how many pages the free count was above the truth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WorstCase {
    /// With one isolator.
    pub(super) one: usize,
    /// With two at once.
    pub(super) two: usize,
    /// With none any more.
    pub(super) afterwards: usize,
}

impl WorstCase {
    /// Measures the design that is in force.
    pub(super) fn measure() -> Self {
        let (one, after_one) = overcount::<1>();
        let (two, after_two) = overcount::<2>();
        Self { one, two, afterwards: after_one.max(after_two) }
    }
}

/// The drift with so many isolators, and afterwards.
fn overcount<const ISOLATORS: usize>() -> (usize, usize) {
    let order = X86_64::MAX_ORDER;
    let units: Vec<_, ISOLATORS> =
        (0..ISOLATORS).filter_map(|_| pages::allocate(AllocRequest::movable().order(order)).ok()).collect();
    let isolated: Vec<_, ISOLATORS> =
        units.iter().filter_map(|unit| allocator().isolate(order.block(*unit)).ok()).collect();
    units.iter().for_each(|unit| pages::free(*unit, order));
    let during = allocator().audit().free_drift().unsigned_abs();
    drop(isolated);
    (during, allocator().audit().free_drift().unsigned_abs())
}
