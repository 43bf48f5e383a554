//! Bad use of the allocator: every error that there is, with the value it carries, and no damage.
//!
//! Each case runs inside [`unchanged`](crate::support::unchanged): counters, lists, frames and
//! marks are as before, and every invariant holds. Tests of initialisation have more errors of
//! construction, `memory_map`'s unit tests those of maps.

mod alloc;
mod areas;
mod construction;
mod free;
mod ranges;

use pageblock::Order;

use crate::support::{Builder, Machine, Zoned, frames};

const PAGE: Order = Order::ZERO;
const LIMIT: Order = Order::new(6);

/// Three zones with a hole in DMA32 (2048 to 2100) and a reserved range in Normal (5000 to 5010).
fn builder() -> Builder {
    frames(&[(0, 2048), (2100, 8192)]).reserve(5000, 5010).no_reserve()
}

fn machine() -> Machine<Zoned> {
    builder().build_as::<Zoned>()
}
