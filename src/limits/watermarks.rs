//! Watermarks and lowmem reserves: the free pages that a zone keeps back, and from which requests.
//!
//! The values are those of Linux (`init_per_zone_wmark_min`, `__setup_per_zone_wmarks`,
//! `setup_per_zone_lowmem_reserve`, `__zone_watermark_ok`). One thing differs: the zone checks its
//! watermark with its lock held and its count exact, in the lock hold in which the block leaves the
//! buddy. So no number of CPUs can pass the check together and go below the mark.

use crate::base::{Depth, ZoneKind};

/// One of the watermarks of a zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mark {
    /// Requests of [`Depth::Normal`] never take the zone below this.
    Min,
    /// A zone below this is used only if no other zone can serve the request.
    Low,
    /// Two steps above min. Reported, but not used by the allocator.
    High,
}

/// The watermarks of a zone, in free pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watermarks {
    /// See [`Mark::Min`].
    pub min: usize,
    /// See [`Mark::Low`].
    pub low: usize,
    /// See [`Mark::High`].
    pub high: usize,
}

impl Watermarks {
    /// Those of a zone without memory.
    pub(crate) const NONE: Self = Self { min: 0, low: 0, high: 0 };

    /// The watermarks of a zone with `managed` of the `total` managed pages of the machine.
    /// `min_total` is the sum of the min watermarks of all zones.
    pub(crate) fn of_zone(managed: usize, total: usize, min_total: usize) -> Self {
        let min = if total == 0 { 0 } else { (min_total as u128 * managed as u128 / total as u128) as usize };
        // watermark_scale_factor: 10 of 10000.
        let step = (min / 4).max(managed / 1000);
        Self { min, low: min + step, high: min + 2 * step }
    }

    /// The value of a watermark, in pages.
    #[must_use]
    pub const fn get(&self, mark: Mark) -> usize {
        match mark {
            Mark::Min => self.min,
            Mark::Low => self.low,
            Mark::High => self.high,
        }
    }

    /// The free pages that a request of this depth must leave, when `mark` is what is checked.
    pub(crate) const fn floor(&self, mark: Mark, depth: Depth) -> usize {
        let mark = self.get(mark);
        match depth {
            Depth::Normal => mark,
            Depth::Atomic => {
                let half = mark - mark / 2;
                half - half / 4
            }
            Depth::Emergency => 0,
        }
    }
}

/// The default sum of the min watermarks, in pages: `sqrt(16 · KiB)` KiB, between 128 KiB and 256
/// MiB, but at most an eighth of the machine.
pub(crate) fn default_min_pages(managed: usize) -> usize {
    let kib = managed.saturating_mul(4);
    let min_kib = kib.saturating_mul(16).isqrt().clamp(128, 262_144);
    (min_kib / 4).min(managed / 8)
}

/// The lowmem reserves, by zone and by the highest zone of a request.
///
/// A zone keeps these pages back from requests that may use a higher zone: the managed pages of the
/// zones above it, divided by 256 for DMA and DMA32, and by 32 for Normal.
pub(crate) fn lowmem_reserves(
    managed: [usize; ZoneKind::COUNT],
) -> [[usize; ZoneKind::COUNT]; ZoneKind::COUNT] {
    const RATIO: [usize; ZoneKind::COUNT] = [256, 256, 32];
    let mut reserves = [[0; ZoneKind::COUNT]; ZoneKind::COUNT];
    for zone in 0..ZoneKind::COUNT {
        let mut above = 0;
        for highest in zone + 1..ZoneKind::COUNT {
            above += managed[highest];
            reserves[zone][highest] = if managed[zone] == 0 { 0 } else { above / RATIO[zone] };
        }
    }
    reserves
}

#[cfg(test)]
mod tests {
    use super::{Mark, Watermarks, default_min_pages, lowmem_reserves};
    use crate::base::Depth;

    #[test]
    fn a_gibibyte_keeps_four_mebibytes_back() {
        assert_eq!(default_min_pages(1 << 18), 1024);
    }

    #[test]
    fn a_small_machine_keeps_at_most_an_eighth_back() {
        assert_eq!(default_min_pages(8), 1);
        assert_eq!(default_min_pages(0), 0);
    }

    #[test]
    fn marks_rise_in_steps_of_a_quarter_of_min() {
        let marks = Watermarks::of_zone(1 << 18, 1 << 18, 1024);
        assert_eq!(marks, Watermarks { min: 1024, low: 1286, high: 1548 });
        assert_eq!(Watermarks::of_zone(1 << 17, 1 << 18, 1024).min, 512);
    }

    #[test]
    fn deeper_requests_have_lower_floors() {
        let marks = Watermarks { min: 800, low: 1000, high: 1200 };
        assert_eq!(marks.floor(Mark::Low, Depth::Normal), 1000);
        assert_eq!(marks.floor(Mark::Min, Depth::Normal), 800);
        assert_eq!(marks.floor(Mark::Min, Depth::Atomic), 300);
        assert_eq!(marks.floor(Mark::Min, Depth::Emergency), 0);
    }

    #[test]
    fn low_zones_keep_pages_back_from_requests_that_could_go_higher() {
        let reserves = lowmem_reserves([4000, 1 << 20, 1 << 19]);
        assert_eq!(reserves[0], [0, 4096, 6144]);
        assert_eq!(reserves[1], [0, 0, 2048]);
        assert_eq!(reserves[2], [0, 0, 0]);
        assert_eq!(lowmem_reserves([0, 100, 0]), [[0; 3]; 3]);
    }
}
