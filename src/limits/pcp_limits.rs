//! The limits of pcplists: how many blocks a list holds, and how many it moves at a time.

use crate::base::Order;

/// The largest order that has pcplists.
pub(crate) const LARGEST: Order = Order::new(9);
pub(crate) const CACHED_ORDERS: usize = LARGEST.index() + 1;

/// By order, the most blocks that a list can hold: about a thousand single pages, eight pageblocks.
const MAX_BLOCKS: [u32; CACHED_ORDERS] = [1152, 256, 128, 64, 32, 16, 16, 16, 8, 8];

/// The capacity of a list of this order in a zone of `frames` frames, with `cpus` CPUs: the largest
/// value that [`PcpLimits::blocks`] can have.
pub(crate) const fn capacity(order: Order, frames: usize, cpus: usize) -> u32 {
    let blocks = (frames / (4 * cpus)) >> order.get();
    let most = MAX_BLOCKS[order.index()];
    if blocks < most as usize { blocks as u32 } else { most }
}

/// The limits of the pcplists of one zone, the same on every CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PcpLimits {
    /// Pages that a refill takes from the zone and a spill returns to it, rounded to whole blocks.
    pub(crate) batch: usize,
    /// The most pages on a list of order 0: a free to a list that holds as many spills it.
    pub(crate) high: usize,
    /// The same for a list of any higher order, in pages.
    large: usize,
}

impl PcpLimits {
    pub(crate) const NONE: Self = Self { batch: 1, high: 0, large: 0 };

    /// The limits for a zone with `managed` pages and this low watermark, with `cpus` CPUs.
    ///
    /// - `batch`: at most 63 (`zone_batchsize` in Linux).
    /// - `high`: the CPU's share of the low watermark, but at least four batches (`zone_highsize`),
    ///   and at least 1/224 of the CPU's share of the zone; at most a quarter of that share.
    /// - `large`: as `high`, or 1/256 of the CPU's share of the zone if that is more; at least one
    ///   pageblock if that is at most 1/64 of the share.
    pub(crate) fn new(managed: usize, low_mark: usize, cpus: usize) -> Self {
        let share = (managed >> 12).min(64);
        let rounded = match (share + share / 2).checked_ilog2() {
            Some(log) => 1 << log,
            None => 1,
        };
        let batch = (rounded - 1).max(1);
        let own = managed / cpus.max(1);
        let high =
            (low_mark / cpus.max(1)).max(4 * batch).max(own / 224).min(own / 4).min(MAX_BLOCKS[0] as usize);
        let large = if own / 64 >= LARGEST.pages() { LARGEST.pages() } else { 0 };
        Self { batch, high, large: large.max(own / 256).max(high) }
    }

    /// The most blocks on a list of this order; 0 if it is disabled.
    pub(crate) const fn blocks(&self, order: Order) -> usize {
        let pages = if order.get() == 0 { self.high } else { self.large };
        pages >> order.get()
    }

    pub(crate) const fn batch_of(&self, order: Order) -> usize {
        let blocks = self.batch >> order.get();
        if blocks == 0 { 1 } else { blocks }
    }
}

#[cfg(test)]
mod tests {
    use super::{PcpLimits, capacity};
    use crate::base::Order;

    fn figures(limits: PcpLimits) -> (usize, usize) {
        (limits.batch, limits.high)
    }

    #[test]
    fn limits_follow_the_size_of_the_zone() {
        assert_eq!(figures(PcpLimits::new(1 << 18, 1286, 4)), (63, 321));
        assert_eq!(figures(PcpLimits::new(8, 1, 1)), (1, 2));
        assert_eq!(figures(PcpLimits::new(0, 0, 1)), (1, 0));
    }

    #[test]
    fn a_gibibyte_caches_pageblocks_and_16_mebibytes_do_not() {
        let pageblock = Order::new(9);
        assert_eq!(PcpLimits::new(1 << 18, 1286, 1).blocks(pageblock), 2);
        assert_eq!(PcpLimits::new(1 << 18, 1286, 4).blocks(pageblock), 1);
        assert_eq!(PcpLimits::new(1 << 12, 100, 1).blocks(pageblock), 0);
    }

    #[test]
    fn the_capacity_is_as_large_as_the_limits_in_small_zones() {
        for frames in [0, 8, 100, 4096, 1 << 16] {
            for cpus in [1, 3, 8] {
                let limits = PcpLimits::new(frames, frames / 100, cpus);
                let needed = limits.blocks(Order::ZERO);
                assert!(
                    capacity(Order::ZERO, frames, cpus) as usize >= needed,
                    "{frames} frames, {cpus} CPUs"
                );
            }
        }
    }
}
