//! The limits of pcplists: how many blocks a list holds, and how many it moves at a time.

use crate::base::{Mobility, Order};

/// The largest order that has pcplists.
pub(crate) const LARGEST: Order = Order::new(9);
pub(crate) const CACHED_ORDERS: usize = LARGEST.index() + 1;

/// By order, the most blocks that a list can hold: about a thousand single pages, eight pageblocks.
const MAX_BLOCKS: [u32; CACHED_ORDERS] = [1152, 256, 128, 64, 32, 16, 16, 16, 8, 8];

/// A zone of fewer pages than this is a toy of a test, which needs pages on its lists. All lists
/// together then hold more than an eighth of it.
const SMALLEST_BOUNDED: usize = 512;

/// The capacity of a list of the exchange in a zone of `frames` frames: the largest value that
/// [`PcpLimits::of_exchange`] can have. Only single pages are exchanged.
pub(crate) const fn exchange_capacity(order: Order, frames: usize) -> u32 {
    if order.get() != 0 {
        return 0;
    }
    let pages = if frames < SMALLEST_BOUNDED { frames / 32 } else { frames / (256 * Mobility::COUNT) };
    if pages < MAX_BLOCKS[0] as usize { pages as u32 } else { MAX_BLOCKS[0] }
}

/// The capacity of a list of this order in a zone of `frames` frames, with `cpus` CPUs: the largest
/// value that [`PcpLimits::blocks`] can have.
pub(crate) const fn capacity(order: Order, frames: usize, cpus: usize) -> u32 {
    let blocks = (frames / (4 * cpus)) >> order.get();
    let most = MAX_BLOCKS[order.index()];
    if blocks < most as usize { blocks as u32 } else { most }
}

/// The limits of the pcplists of one zone, the same on every CPU.
///
/// If all lists of all CPUs and the exchange are full, they hold at most an eighth of the zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PcpLimits {
    /// Pages that a refill takes from the zone and a spill returns to it, rounded to whole blocks.
    pub(crate) batch: usize,
    /// By order, the most blocks on a list: a free to a list that holds as many spills it.
    blocks: [u32; CACHED_ORDERS],
}

impl PcpLimits {
    pub(crate) const NONE: Self = Self { batch: 1, blocks: [0; CACHED_ORDERS] };

    /// The limits for a zone with `managed` pages and this low watermark, with `cpus` CPUs.
    ///
    /// - `batch`: at most 63 (`zone_batchsize` in Linux), and half of a list of order 0.
    /// - A list of order 0 ([`high`](Self::high)) holds the CPU's share of the low watermark, but
    ///   at least four batches (`zone_highsize`), and at least 1/56 of the CPU's share of the zone:
    ///   1152 pages with 256 MiB, so that a burst of a thousand pages does not reach the zone.
    /// - A list of a higher order holds as many pages, or 1/256 of the CPU's share of the zone if
    ///   that is more, or a pageblock if that is at most 1/64 of the share.
    /// - If all that and the [exchange](Self::of_exchange) is more than an eighth of the zone, the
    ///   lists of order 0 get at most half of what the exchange leaves of the eighth, and the
    ///   higher orders equal parts of the rest. Of the largest orders, which such a part does not
    ///   suffice for, each still gets a block for each mobility, as long as these take at most two
    ///   fifths of what is left.
    pub(crate) fn new(managed: usize, low_mark: usize, cpus: usize) -> Self {
        let share = (managed >> 12).min(64);
        let rounded = match (share + share / 2).checked_ilog2() {
            Some(log) => 1 << log,
            None => 1,
        };
        let batch = (rounded - 1).max(1);
        let own = managed / cpus.max(1);
        let high = (low_mark / cpus.max(1)).max(4 * batch).max(own / 56).min(own / 4);
        let large = if own / 64 >= LARGEST.pages() { LARGEST.pages() } else { 0 };
        let large = large.max(own / 256).max(high);
        let wanted = core::array::from_fn(|order| {
            let pages = if order == 0 { high } else { large };
            ((pages >> order) as u32).min(MAX_BLOCKS[order])
        });
        let exchange = Mobility::COUNT * exchange_capacity(Order::ZERO, managed) as usize;
        let most = (managed / 8).saturating_sub(exchange) / cpus.max(1);
        let blocks = if managed < SMALLEST_BOUNDED { wanted } else { Self::bounded(wanted, most) };
        let batch = batch.min(blocks[0] as usize / 2).max(1);
        Self { batch, blocks }
    }

    /// The limits of the exchange of the same zone, with `managed` pages: its lists of order 0 hold
    /// together a 256th of the zone, or as many pages as those of a CPU can at most. It has no
    /// others.
    pub(crate) fn of_exchange(self, managed: usize) -> Self {
        if self.high() == 0 {
            return Self::NONE;
        }
        let capacity = |order| exchange_capacity(Order::new(order as u8), managed);
        Self { blocks: core::array::from_fn(capacity), ..self }
    }

    /// As many of the wanted blocks as keep all lists of a CPU within `left` pages.
    fn bounded(wanted: [u32; CACHED_ORDERS], mut left: usize) -> [u32; CACHED_ORDERS] {
        let pages = |order: usize, blocks: u32| (blocks as usize * Mobility::COUNT) << order;
        let all: usize = (0..CACHED_ORDERS).map(|order| pages(order, wanted[order])).sum();
        if all <= left {
            return wanted;
        }
        let mut blocks = wanted;
        blocks[0] = wanted[0].min((left / (2 * Mobility::COUNT)) as u32);
        left -= pages(0, blocks[0]);
        // The largest first, so that the smaller ones get what a part has beyond whole blocks.
        for order in (1..CACHED_ORDERS).rev() {
            let part = left / order / pages(order, 1);
            let one = usize::from(5 * pages(order, 1) <= 2 * left);
            blocks[order] = wanted[order].min(part.max(one) as u32);
            left -= pages(order, blocks[order]);
        }
        blocks
    }

    /// The most pages on a list of order 0.
    pub(crate) const fn high(&self) -> usize {
        self.blocks(Order::ZERO)
    }

    /// The most blocks on a list of this order; 0 if it is disabled.
    pub(crate) const fn blocks(&self, order: Order) -> usize {
        self.blocks[order.index()] as usize
    }

    /// The blocks of this order that a refill takes from the zone and a spill returns to it: as
    /// many as have the pages of the batch, but at least two unless that is a single page
    /// (`nr_pcp_alloc` in Linux), because a list that moves one block at a time is soon empty or
    /// full again. At most half of the list, and at least one.
    pub(crate) const fn batch_of(&self, order: Order) -> usize {
        let pages = self.batch >> order.get();
        let least = if self.batch > 1 { 2 } else { 1 };
        let blocks = if pages < least { least } else { pages };
        let half = self.blocks(order) / 2;
        let blocks = if blocks > half { half } else { blocks };
        if blocks == 0 { 1 } else { blocks }
    }
}

#[cfg(test)]
mod tests {
    use super::{CACHED_ORDERS, LARGEST, PcpLimits, capacity, exchange_capacity};
    use crate::base::{Mobility, Order};

    fn figures(limits: PcpLimits) -> (usize, usize) {
        (limits.batch, limits.high())
    }

    #[test]
    fn limits_follow_the_size_of_the_zone() {
        assert_eq!(figures(PcpLimits::new(1 << 18, 1286, 4)), (63, 1152));
        assert_eq!(figures(PcpLimits::new(1 << 18, 1286, 1)), (63, 1152));
        assert_eq!(figures(PcpLimits::new(8, 1, 1)), (1, 2));
        assert_eq!(figures(PcpLimits::new(0, 0, 1)), (1, 0));
    }

    #[test]
    fn a_batch_of_larger_blocks_is_two_or_more_and_at_most_half_of_the_list() {
        let batches = |limits: PcpLimits| -> [usize; CACHED_ORDERS] {
            core::array::from_fn(|order| limits.batch_of(Order::new(order as u8)))
        };
        assert_eq!(batches(PcpLimits::new(1 << 20, 1286, 1)), [63, 31, 15, 7, 3, 2, 2, 2, 2, 2]);
        // Lists of 1152, 58, 28, 14, 6, 3, 1, 1, 1 and 1 blocks.
        assert_eq!(batches(PcpLimits::new(1 << 18, 1286, 4)), [63, 29, 14, 7, 3, 1, 1, 1, 1, 1]);
        // A batch of one page.
        assert_eq!(batches(PcpLimits::new(1 << 13, 1286, 1)), [1; CACHED_ORDERS]);
    }

    #[test]
    fn many_cpus_share_an_eighth_of_the_zone() {
        assert_eq!(figures(PcpLimits::new(1 << 18, 1286, 64)), (41, 82));
        assert_eq!(figures(PcpLimits::new(512, 20, 64)), (1, 0));
        for log in 9..28 {
            for cpus in [1, 2, 3, 4, 7, 8, 16, 64, 256, 1024] {
                for managed in [1 << log, 3 << (log - 1), (1 << log) + 77] {
                    let limits = PcpLimits::new(managed, managed / 200, cpus);
                    let pages = |order: Order| limits.blocks(order) * order.pages();
                    let all: usize = Order::ZERO.up_to(LARGEST).map(pages).sum();
                    let exchanged = limits.of_exchange(managed).high();
                    let all = (all * cpus + exchanged) * Mobility::COUNT;
                    assert!(all <= managed / 8, "{all} pages of {managed}, {cpus} CPUs");
                }
            }
        }
    }

    #[test]
    fn four_cpus_with_a_gibibyte_have_lists_of_every_order() {
        let limits = PcpLimits::new(1 << 18, 1286, 4);
        let blocks: [usize; CACHED_ORDERS] =
            core::array::from_fn(|order| limits.blocks(Order::new(order as u8)));
        assert_eq!(blocks, [1152, 58, 28, 14, 6, 3, 1, 1, 1, 1]);
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

    #[test]
    fn the_exchange_holds_a_256th_of_a_zone_and_no_list_more_than_that_of_a_cpu() {
        let single = |frames| exchange_capacity(Order::ZERO, frames);
        assert_eq!([768, 1 << 18, 1 << 22].map(single), [1, 341, 1152]);
        // A list for each mobility.
        assert!(single(1 << 18) as usize * Mobility::COUNT <= (1 << 18) / 256);
        // The zone of a test, down to the smallest that has an exchange.
        assert_eq!([31, 32, 100, 511, 512].map(single), [0, 1, 3, 15, 0]);
        assert_eq!(exchange_capacity(Order::new(1), 1 << 22), 0);
    }
}
