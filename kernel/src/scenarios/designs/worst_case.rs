//! The worst case of a design: owners free every page of a unit while it is isolated.
//!
//! Nothing else runs meanwhile, so that the numbers are the same in each run.

use heapless::Vec;
use pageblock::{AllocRequest, Geometry, X86_64};

use crate::memory::allocator;
use crate::space::pages;

/// The drift of the free count, in pages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WorstCase {
    /// With one isolated unit.
    pub(super) one: usize,
    /// With two isolated units at once.
    pub(super) two: usize,
    /// After the isolations have ended.
    pub(super) afterwards: usize,
}

impl WorstCase {
    /// Measures the design that is chosen.
    pub(super) fn measure() -> Self {
        let (one, after_one) = overcount::<1>();
        let (two, after_two) = overcount::<2>();
        Self { one, two, afterwards: after_one.max(after_two) }
    }
}

/// The drift with that many isolated units, and the drift afterwards.
fn overcount<const UNITS: usize>() -> (usize, usize) {
    let order = X86_64::MAX_ORDER;
    let units: Vec<_, UNITS> =
        (0..UNITS).filter_map(|_| pages::allocate(AllocRequest::movable().order(order)).ok()).collect();
    let isolated: Vec<_, UNITS> =
        units.iter().filter_map(|unit| allocator().isolate(order.block(*unit)).ok()).collect();
    units.iter().for_each(|unit| pages::free(*unit, order));
    let during = allocator().audit().free_drift().unsigned_abs();
    drop(isolated);
    (during, allocator().audit().free_drift().unsigned_abs())
}
