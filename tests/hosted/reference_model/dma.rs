//! The steps that allocate buffers for devices: in bytes, and below an address.

use pageblock::{CmaError, ContigError, ContigRange, Geometry, Order, PAGE_SIZE, Pfn, PfnRange, Platform};

use super::reference::Truth;
use super::world::World;

/// A buffer for a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct DmaPlace {
    bytes: usize,
    below: u64,
    align: u64,
}

impl DmaPlace {
    /// One of at most `most` pages, whose limit is somewhere in `within`, or none in one of four.
    pub(super) fn new(within: PfnRange, most: usize, bytes: u16, below: u16, align: u8) -> Self {
        let page = PAGE_SIZE as usize;
        let pages = usize::from(bytes) % (most + 1);
        let offset = (within.len() as u64 + 1) * PAGE_SIZE * u64::from(below) / u64::from(u16::MAX);
        Self {
            // The last page in full, or all but some bytes of it.
            bytes: (pages * page).saturating_sub(usize::from(bytes) * 7 % page),
            below: if below.is_multiple_of(4) { u64::MAX } else { within.start().start_address() + offset },
            align: if align % 8 == 7 { u64::from(align) * 3 } else { 1 << (9 + align % 8) },
        }
    }

    fn pages(self) -> usize {
        self.bytes.div_ceil(PAGE_SIZE as usize)
    }

    fn order(self) -> Order {
        Order::covering(self.align.div_ceil(PAGE_SIZE) as usize)
    }

    /// The first frame that the device cannot reach as a whole.
    fn limit(self) -> usize {
        (self.below / PAGE_SIZE) as usize
    }
}

impl<P: Platform, G: Geometry> World<'_, '_, P, G> {
    /// A buffer for a device.
    pub(super) fn dma(&mut self, place: DmaPlace) {
        let DmaPlace { bytes, below, align } = place;
        let taken = self.machine.alloc_dma(bytes, below, align, &self.owners());
        match taken.map(ContigRange::into_raw) {
            Err(ContigError::BadAlignment { bytes }) => {
                assert!(bytes == align && !align.is_power_of_two(), "{align} is a good alignment");
            }
            taken => {
                assert!(align.is_power_of_two(), "{align} is no alignment");
                self.admit_contig_pages(taken, place.pages(), place.order(), place.limit());
            }
        }
    }

    /// A buffer for a device, of the area.
    pub(super) fn take_cma_dma(&mut self, number: usize, place: DmaPlace) {
        let DmaPlace { bytes, below, align } = place;
        let (area, pages, limit) = (self.areas[number].range(), place.pages(), Pfn::new(place.limit()));
        let reachable = area.intersection(PfnRange::new(Pfn::new(0), limit));
        match self.areas[number].alloc_dma(self.machine, bytes, below, align, &self.owners()) {
            Ok(range) => {
                assert!(align.is_power_of_two() && place.order().is_aligned(range.start()), "{range}");
                assert!(reachable.covers(range) && range.len() == pages, "{range}");
                assert!(!self.lent.iter().any(|lent| lent.overlaps(range)), "{range}");
                self.write(range);
                self.lent.push(range);
                self.model.borrow_mut().change(range, Truth::Pool, Truth::Contig);
            }
            Err(error) => {
                let expected = match error {
                    CmaError::BadAlignment { .. } => !align.is_power_of_two(),
                    CmaError::Empty => pages == 0,
                    CmaError::BeyondLimit { .. } => reachable.len() < pages,
                    CmaError::FullBelow { .. } => reachable != area,
                    CmaError::Full { .. } => reachable == area,
                    CmaError::Busy(_) => true,
                    _ => false,
                };
                assert!(expected, "{place:?} of {area}: {error}");
            }
        }
        self.areas_have_what_is_lent();
    }
}
