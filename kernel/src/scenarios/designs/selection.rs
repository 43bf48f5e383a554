//! The choice of an accounting design.

use pageblock::Design;

use crate::memory::allocator;

/// The number of designs.
pub(super) const DESIGNS: usize = Design::ALL.len();

/// Switches the allocator to `design`.
pub(super) fn choose(design: Design) {
    if let Err(error) = allocator().set_design(design) {
        panic!("{design}: {error}");
    }
}
