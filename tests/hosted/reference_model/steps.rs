//! The steps, and which part of the model does each.

use pageblock::{Depth, Geometry, MemoryUse, Mobility, Order, Pfn, PfnRange, Platform, ZoneKind};

use super::dma::DmaPlace;
use super::world::World;
use crate::support::{Threads, unit};

/// What to do. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Hash, Debug)]
pub(crate) enum Step {
    Alloc {
        order: u8,
        mobility: u8,
        zone: u8,
        depth: u8,
    },
    Free(u16),
    /// Frees a part of a block.
    FreePart {
        number: u16,
        from: u16,
        len: u16,
    },
    BadFree {
        place: u16,
        order: u8,
    },
    AllocBulk {
        order: u8,
        mobility: u8,
        depth: u8,
        blocks: u8,
    },
    /// Frees blocks of one order, one of them twice if `bad` is odd.
    FreeBulk {
        number: u16,
        blocks: u8,
        bad: u8,
    },
    AllocExact {
        pages: u16,
        align: u8,
        mobility: u8,
        depth: u8,
    },
    /// Frees an exact range, or any range as one.
    FreeExact {
        which: u16,
        at: u16,
        len: u16,
    },
    /// Frees any range, as a contiguous one or as what it is.
    FreeRange {
        at: u16,
        len: u16,
        contig: bool,
    },
    Split {
        number: u16,
        into: u8,
    },
    /// Atomic updates of an owner word.
    OwnerWord {
        number: u16,
        by: u16,
    },
    Isolate {
        at: u16,
        len: u16,
    },
    Undo(u16),
    Test(u16),
    TakeContig {
        at: u16,
        len: u16,
        hard: u8,
    },
    ContigPages {
        pages: u16,
        align: u8,
        below: u8,
    },
    /// A buffer for a device, of some bytes, below an address, at a multiple of bytes that is now
    /// and then no power of two.
    Dma {
        bytes: u16,
        below: u16,
        align: u8,
    },
    FreeContig {
        which: u16,
        from: u16,
        len: u16,
    },
    /// Pins a contiguous allocation, or any range.
    Pin {
        which: u16,
        at: u16,
        len: u16,
    },
    Unpin {
        which: u16,
        at: u16,
        len: u16,
    },
    TakeCma {
        len: u16,
        align: u8,
    },
    /// As `Dma`, of the area.
    TakeCmaDma {
        bytes: u16,
        below: u16,
        align: u8,
    },
    /// Frees a part of a range of the area, or any range as one.
    ReleaseCma {
        which: u16,
        from: u16,
        len: u16,
    },
    Drain,
    Reserve {
        at: u16,
        len: u16,
    },
    Add {
        at: u16,
        len: u16,
        movable_only: bool,
    },
    /// Makes records for frames above all others, perhaps of some that have records already.
    AddRecords {
        below: u8,
        len: u8,
        too_small: bool,
    },
    /// Removes those that were added last, or not these.
    RemoveRecords {
        at: u16,
        len: u16,
    },
    Offline {
        at: u16,
        listener: u8,
    },
    Online {
        which: u16,
        listener: u8,
    },
    /// Removes an offline range from the machine and adds it again, movable-only or not.
    Replug(u16, bool),
    SoftOffline(u16),
    /// Returns the batch that is out. If there is none, reports one, hands some of its blocks over
    /// to the host, and returns it at once unless the host is to be waited for.
    Report {
        blocks: u8,
        hand_over: u8,
        acknowledged: bool,
        wait: bool,
    },
    /// Takes any pageblocks offline, or a range that is none.
    OfflineRange {
        at: u16,
        len: u16,
        listener: u8,
    },
    /// Brings offline frames online by number, or removes them, or looks what keeps frames online.
    ByNumber {
        at: u16,
        len: u16,
        call: u8,
    },
    /// Allocates blocks until there are none left, or so many.
    Fill {
        order: u8,
        mobility: u8,
        depth: u8,
        most: u8,
    },
    /// Makes a CMA area of any pageblocks, or of a range that is none.
    NewArea {
        at: u16,
        len: u16,
    },
    /// Sets the owner words of a contiguous allocation, or of any range.
    RangeOwner {
        which: u16,
        at: u16,
        len: u16,
    },
    /// Another CPU goes on.
    Cpu(u8),
}

pub(super) const MOBILITIES: [Mobility; 3] = [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable];
pub(super) const DEPTHS: [Depth; 3] = [Depth::Normal, Depth::Atomic, Depth::Emergency];

/// One of `all`, if there is any.
pub(super) fn pick<T>(all: &mut Vec<T>, number: u16) -> Option<T> {
    (!all.is_empty()).then(|| all.swap_remove(usize::from(number) % all.len()))
}

/// A part of a range, and what is left of it.
pub(super) fn cut(range: PfnRange, from: u16, len: u16) -> (PfnRange, impl Iterator<Item = PfnRange>) {
    let from = usize::from(from) % range.len();
    let start = Pfn::new(range.start().number() + from);
    let part = PfnRange::with_len(start, 1 + usize::from(len) % (range.len() - from));
    let rest = [PfnRange::new(range.start(), part.start()), PfnRange::new(part.end(), range.end())];
    (part, rest.into_iter().filter(|rest| !rest.is_empty()))
}

impl<P: Platform, G: Geometry> World<'_, '_, P, G> {
    /// Some range, mostly a short one, and now and then one that reaches over an end.
    fn range(&self, at: u16, len: u16) -> PfnRange {
        let span = self.machine.span();
        let start = span.start().number() + usize::from(at) % (span.len() + 2);
        let longest = if len.is_multiple_of(4) { span.len() } else { G::PAGEBLOCK_ORDER.pages() + 3 };
        PfnRange::with_len(Pfn::new(start), usize::from(len / 4) % longest)
    }

    /// The pageblocks of a range.
    fn whole(range: PfnRange) -> PfnRange {
        let order = G::PAGEBLOCK_ORDER;
        PfnRange::new(order.align_down(range.start()), order.align_up(range.end()))
    }

    /// As [`range`](Self::range), whole pageblocks or, in one of 16, what it is.
    fn pageblocks(&self, at: u16, len: u16) -> PfnRange {
        let range = self.range(at, len);
        if at / 256 % 16 == 15 { range } else { Self::whole(range) }
    }

    /// A contiguous allocation, or any range.
    fn contig_or_any(&self, which: u16, at: u16, len: u16) -> PfnRange {
        let mut taken = self.contig.iter().chain(&self.lent);
        let count = self.contig.len() + self.lent.len();
        match taken.nth(usize::from(which / 4) % count.max(1)) {
            Some(range) if !which.is_multiple_of(4) => *range,
            _ => self.range(at, len),
        }
    }

    pub(crate) fn apply(&mut self, step: Step) {
        // Often small, now and then above the largest.
        let order = |order: u8| Order::new(order % (G::MAX_ORDER.get() + 2));
        let mobility = |number: u8| MOBILITIES[usize::from(number)];
        let depth = |number: u8| DEPTHS[usize::from(number)];
        match step {
            Step::Alloc { order: o, mobility: m, zone, depth: d } => {
                self.alloc(order(o), mobility(m), ZoneKind::ALL[usize::from(zone)], depth(d));
            }
            Step::Free(number) => self.free(number),
            Step::FreePart { number, from, len } => self.free_part(number, from, len),
            Step::BadFree { place, order } => self.bad_free(place, Order::new(order)),
            Step::AllocBulk { order: o, mobility: m, depth: d, blocks } => {
                self.alloc_bulk(order(o), mobility(m), depth(d), usize::from(blocks));
            }
            Step::FreeBulk { number, blocks, bad } => self.free_bulk(number, usize::from(blocks), bad),
            Step::AllocExact { pages, align, mobility: m, depth: d } => {
                let pages = usize::from(pages) % (G::MAX_ORDER.pages() + 2);
                self.alloc_exact(pages, order(align), mobility(m), depth(d));
            }
            Step::FreeExact { which, at, len } => {
                let exact = pick(&mut self.exact, which).filter(|_| !len.is_multiple_of(4));
                self.free_exact(exact.unwrap_or_else(|| self.range(at, len)));
            }
            Step::FreeRange { at, len, contig } => self.free_range(self.range(at, len), contig),
            Step::Split { number, into } => self.split(number, order(into)),
            Step::OwnerWord { number, by } => self.owner_word(number, u64::from(by)),
            Step::Isolate { at, len } => self.isolate(self.range(at, len)),
            Step::Undo(number) => {
                if let Some(held) = pick(&mut self.isolated, number) {
                    self.model.borrow_mut().isolated.retain(|range| *range != held.range());
                }
            }
            Step::Test(number) => self.test(number),
            Step::TakeContig { at, len, hard } => self.take_contig(self.range(at, len), hard),
            Step::ContigPages { pages, align, below } => {
                let pages = usize::from(pages) % (2 * G::PAGEBLOCK_ORDER.pages() + 2);
                self.contig_pages(pages, Order::new(align), below);
            }
            Step::Dma { bytes, below, align } => {
                let place =
                    DmaPlace::new(self.machine.span(), 2 * G::PAGEBLOCK_ORDER.pages(), bytes, below, align);
                self.dma(place);
            }
            Step::FreeContig { which, from, len } => {
                if let Some(range) = pick(&mut self.contig, which) {
                    let (part, _) = cut(range, from, len);
                    self.contig.push(range);
                    self.free_range(part, which.is_multiple_of(2));
                }
            }
            Step::Pin { which, at, len } => self.set_pinned(self.contig_or_any(which, at, len), true),
            Step::Unpin { which, at, len } => self.set_pinned(self.contig_or_any(which, at, len), false),
            Step::TakeCma { len, align } => {
                let number = usize::from(len / 256) % self.areas.len();
                self.take_cma(
                    number,
                    1 + usize::from(len) % self.areas[number].range().len(),
                    Order::new(align),
                );
            }
            Step::TakeCmaDma { bytes, below, align } => {
                let number = usize::from(bytes / 256) % self.areas.len();
                let area = self.areas[number].range();
                self.take_cma_dma(number, DmaPlace::new(area, area.len(), bytes, below, align));
            }
            Step::ReleaseCma { which, from, len } => {
                let range = match pick(&mut self.lent, which) {
                    Some(range) if which % 8 != 7 => {
                        self.lent.push(range);
                        cut(range, from, len).0
                    }
                    other => {
                        self.lent.extend(other);
                        self.range(from, len)
                    }
                };
                self.release_cma(range);
            }
            Step::Drain => self.machine.drain_all(),
            Step::Reserve { at, len } => self.reserve(self.range(at, len)),
            Step::Add { at, len, movable_only } => {
                let memory_use = if movable_only { MemoryUse::MovableOnly } else { MemoryUse::Ordinary };
                self.add(self.range(at, len), memory_use);
            }
            Step::AddRecords { below, len, too_small } => {
                let unit = unit::<G>();
                self.add_records(usize::from(below) % unit, usize::from(len) % (2 * unit), too_small);
            }
            Step::RemoveRecords { at, len } => {
                let last = self.added.last().copied().filter(|_| !len.is_multiple_of(4));
                self.remove_records(last.unwrap_or_else(|| self.range(at, len)));
            }
            Step::Offline { at, listener } => self.take_offline(at, listener),
            Step::Online { which, listener } => self.put_online(which, listener),
            Step::Replug(which, movable_only) => self.replug(which, movable_only),
            Step::SoftOffline(place) => {
                let span = self.machine.span();
                let pfn = span.start().number() + usize::from(place) % (span.len() + 2);
                self.soft_offline(Pfn::new(pfn));
            }
            Step::Report { blocks, hand_over, acknowledged, wait } => {
                self.report(usize::from(blocks), usize::from(hand_over), acknowledged, wait);
            }
            Step::OfflineRange { at, len, listener } => {
                self.take_range_offline(self.pageblocks(at, len), listener);
            }
            Step::ByNumber { at, len, call } => {
                let offline = self.offline.get(usize::from(len) % (self.offline.len() + 1));
                let range = offline.map_or_else(
                    || self.pageblocks(at, len),
                    |offline| Self::whole(cut(offline.range(), at, len / 16).0),
                );
                match call % 4 {
                    0 => self.dry_run(range),
                    call => self.online_or_remove(range, call == 1),
                }
            }
            Step::Fill { order: o, mobility: m, depth: d, most } => {
                for _ in 0..most {
                    let words = self.words;
                    self.alloc(order(o), mobility(m), ZoneKind::Normal, depth(d));
                    if !self.model.borrow().blocks.contains_key(&(words + 1)) {
                        break;
                    }
                }
            }
            Step::NewArea { at, len } => self.new_area(self.pageblocks(at, len)),
            Step::RangeOwner { which, at, len } => self.set_range_owner(self.contig_or_any(which, at, len)),
            Step::Cpu(number) => Threads::become_cpu(usize::from(number) % self.setup.cpus),
        }
    }
}
