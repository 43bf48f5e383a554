//! The toy machines, and the calls that are made on each.

use pageblock::{Depth, Geometry, MemoryUse, Mobility, Order, Pfn};

use crate::search::call::{Owners, Request, Run};
use crate::search::machine::Setup;
use crate::search::world::Alphabet;

/// Pageblocks of two frames, four of which are the largest block.
pub(crate) enum Two {}
impl Geometry for Two {
    const MAX_ORDER: Order = Order::new(3);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(0);
    const DMA32_END: Pfn = Pfn::new(0);
}

/// Pageblocks of four frames, two of which are the largest block.
pub(crate) enum Four {}
impl Geometry for Four {
    const MAX_ORDER: Order = Order::new(3);
    const PAGEBLOCK_ORDER: Order = Order::new(2);
    const DMA_END: Pfn = Pfn::new(0);
    const DMA32_END: Pfn = Pfn::new(0);
}

/// Largest blocks of four frames, so that eight frames are two of them, which are deferred at
/// first.
pub(crate) enum Deferred {}
impl Geometry for Deferred {
    const MAX_ORDER: Order = Order::new(2);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(0);
    const DMA32_END: Pfn = Pfn::new(0);
}

/// Pageblocks of four frames, which are larger than the largest blocks, of two.
pub(crate) enum Tall {}
impl Geometry for Tall {
    const MAX_ORDER: Order = Order::new(1);
    const PAGEBLOCK_ORDER: Order = Order::new(2);
    const DMA_END: Pfn = Pfn::new(0);
    const DMA32_END: Pfn = Pfn::new(0);
}

/// A machine and the calls that are made on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) setup: Setup,
    pub(crate) alphabet: Alphabet,
}

const MOVABLE: Request = Request(Mobility::Movable, Depth::Normal);
const UNMOVABLE: Request = Request(Mobility::Unmovable, Depth::Normal);
const RECLAIMABLE: Request = Request(Mobility::Reclaimable, Depth::Normal);
const ATOMIC: Request = Request(Mobility::Movable, Depth::Atomic);
const EMERGENCY: Request = Request(Mobility::Unmovable, Depth::Emergency);

const fn run(start: u8, len: u8) -> Run {
    Run { start, len }
}

/// Every range of four frames.
const EVERY_RANGE: &[Run] = &[
    run(0, 1),
    run(1, 1),
    run(2, 1),
    run(3, 1),
    run(0, 2),
    run(1, 2),
    run(2, 2),
    run(0, 3),
    run(1, 3),
    run(0, 4),
];

/// All of memory, and a range across the border of two largest pageblocks.
const ALL_AND_MIDDLE: &[Run] = &[run(0, 8), run(3, 2)];

const EIGHT: Setup = Setup { frames: 8, cpus: 1, min_free: 0, guard_below: 0, cma: None };
const FOUR: Setup = Setup { frames: 4, ..EIGHT };

/// Four frames, and every call there is.
pub(crate) const EVERY_CALL: Machine = Machine {
    name: "four frames, every call",
    setup: FOUR,
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE],
        orders: &[0, 1, 2],
        split: true,
        free_range: true,
        isolate: EVERY_RANGE,
        contig: EVERY_RANGE,
        owners: &Owners::ALL,
        offline: &[run(0, 2), run(2, 2)],
        reserve: &[run(0, 1), run(2, 2)],
        ..Alphabet::NONE
    },
};

/// Memory that is removed and added again, for every use.
pub(crate) const PLUGGED: Machine = Machine {
    name: "four frames that are removed and added again for every use",
    setup: FOUR,
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE],
        orders: &[0, 1],
        isolate: &[run(0, 1), run(1, 2)],
        contig: &[run(1, 1), run(2, 2)],
        owners: &[Owners::Migrate, Owners::Free],
        offline: &[run(0, 2), run(2, 2), run(0, 4)],
        reserve: &[run(0, 1), run(2, 2)],
        uses: &[MemoryUse::Ordinary, MemoryUse::MovableOnly],
        remove: true,
        ..Alphabet::NONE
    },
};

/// As [`EVERY_CALL`], with requests of every mobility and two isolations at a time.
pub(crate) const EVERY_CALL_AND_MOBILITY: Machine = Machine {
    name: "four frames, every call and mobility",
    setup: FOUR,
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE, RECLAIMABLE],
        most_isolated: 2,
        offline: &[run(0, 2), run(2, 2), run(0, 4)],
        ..EVERY_CALL.alphabet
    },
};

/// Pageblocks that are larger than the largest blocks, and two isolations at a time.
pub(crate) const TALL_PAGEBLOCKS: Machine = Machine {
    name: "four frames in one pageblock of two largest blocks, every call",
    setup: FOUR,
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE, RECLAIMABLE],
        orders: &[0, 1],
        most_isolated: 2,
        offline: &[run(0, 4)],
        ..EVERY_CALL.alphabet
    },
};

/// A CMA area of one of two pageblocks, with every call.
pub(crate) const WITH_CMA: Machine = Machine {
    name: "four frames, half of them a CMA area, every call",
    setup: Setup { cma: Some(run(2, 2)), ..FOUR },
    alphabet: Alphabet { cma: true, offline: &[run(0, 2), run(2, 2)], ..EVERY_CALL.alphabet },
};

/// Free blocks that are reported to the host, while everything else goes on.
pub(crate) const REPORTED: Machine = Machine {
    name: "four frames, free blocks are reported to the host",
    setup: FOUR,
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE],
        orders: &[0, 1],
        isolate: &[run(0, 1), run(1, 2)],
        contig: &[run(1, 1), run(2, 2)],
        offline: &[run(2, 2)],
        report: &[1, 2],
        ..Alphabet::NONE
    },
};

/// As [`REPORTED`], with blocks of up to four pageblocks.
pub(crate) const REPORTED_LARGE: Machine = Machine {
    name: "eight frames, free blocks are reported to the host",
    setup: EIGHT,
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE],
        orders: &[1, 2],
        isolate: &[run(3, 2)],
        report: &[2],
        ..Alphabet::NONE
    },
};

/// A CMA area of half of eight frames.
pub(crate) const WITH_LARGE_CMA: Machine = Machine {
    name: "eight frames, half of them a CMA area",
    setup: Setup { cma: Some(run(4, 4)), ..EIGHT },
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE],
        orders: &[1, 2],
        isolate: ALL_AND_MIDDLE,
        owners: &[Owners::Migrate, Owners::MigrateAndFree],
        cma: true,
        ..Alphabet::NONE
    },
};

/// Two CPUs whose pcplists hold a page each.
pub(crate) const TWO_CPUS: Machine = Machine {
    name: "eight frames, two CPUs",
    setup: Setup { cpus: 2, ..EIGHT },
    alphabet: Alphabet {
        requests: &[MOVABLE],
        orders: &[0, 1],
        isolate: &[run(0, 4), run(6, 1)],
        contig: &[run(3, 2)],
        ..Alphabet::NONE
    },
};

/// Guards below two orders, with isolations and hot-remove.
pub(crate) const WITH_GUARDS: Machine = Machine {
    name: "eight frames, guards of up to two frames",
    setup: Setup { guard_below: 2, ..EIGHT },
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE],
        orders: &[0, 1, 2],
        isolate: &[run(0, 2), run(3, 2)],
        offline: &[run(0, 2)],
        ..Alphabet::NONE
    },
};

/// As [`WITH_GUARDS`], with ranges that are pageblocks of four frames.
pub(crate) const WITH_GUARDS_OF_FOUR: Machine = Machine {
    name: "eight frames in pageblocks of four, guards of up to two frames",
    alphabet: Alphabet { isolate: &[run(0, 4), run(3, 2)], offline: &[run(0, 4)], ..WITH_GUARDS.alphabet },
    ..WITH_GUARDS
};

/// As [`WITH_GUARDS`], with guards of two pageblocks, one of which may be isolated or claimed.
pub(crate) const WITH_GUARDS_OF_TWO_PAGEBLOCKS: Machine = Machine {
    name: "eight frames, guards of up to four frames",
    setup: Setup { guard_below: 3, ..EIGHT },
    alphabet: Alphabet {
        split: true,
        isolate: &[run(0, 2), run(3, 2), run(6, 2)],
        offline: &[run(4, 2)],
        ..WITH_GUARDS.alphabet
    },
};

/// As [`WITH_GUARDS_OF_TWO_PAGEBLOCKS`], with blocks of all memory, parts of which are freed, and
/// two isolations at a time.
pub(crate) const GUARDS_AND_RANGES: Machine = Machine {
    name: "eight frames, guards of up to four frames, ranges",
    setup: WITH_GUARDS_OF_TWO_PAGEBLOCKS.setup,
    alphabet: Alphabet {
        orders: &[0, 1, 2, 3],
        split: false,
        free_range: true,
        isolate: &[run(0, 2), run(2, 2), run(3, 2), run(6, 2)],
        most_isolated: 2,
        offline: &[run(0, 2), run(4, 2)],
        ..WITH_GUARDS_OF_TWO_PAGEBLOCKS.alphabet
    },
};

/// Two largest blocks, which are deferred at first.
pub(crate) const DEFERRED: Machine = Machine {
    name: "eight frames in two deferred blocks",
    setup: EIGHT,
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE, RECLAIMABLE],
        orders: &[1, 2],
        isolate: &[run(0, 1), run(2, 4), run(0, 8)],
        contig: &[run(3, 2)],
        offline: &[run(4, 2)],
        reserve: &[run(7, 1)],
        ..Alphabet::NONE
    },
};

/// As [`DEFERRED`], with movable blocks of every order.
pub(crate) const DEFERRED_PAGES: Machine = Machine {
    name: "eight frames in two deferred blocks, movable blocks of every order",
    setup: EIGHT,
    alphabet: Alphabet {
        requests: &[MOVABLE],
        orders: &[0, 1, 2],
        isolate: &[run(1, 2), run(0, 8)],
        contig: &[run(5, 2)],
        ..Alphabet::NONE
    },
};

/// A min watermark of two pages, and requests of every depth.
pub(crate) const WATERMARKS: Machine = Machine {
    name: "six frames, a watermark of two, every depth",
    setup: Setup { frames: 6, min_free: 2, ..EIGHT },
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE, ATOMIC, EMERGENCY],
        orders: &[0, 1],
        isolate: &[run(2, 2)],
        contig: &[run(1, 2)],
        ..Alphabet::NONE
    },
};

/// Movable and unmovable pages and pairs on eight frames.
pub(crate) const PAGES: Machine = Machine {
    name: "eight frames, movable and unmovable pages",
    setup: EIGHT,
    alphabet: Alphabet { requests: &[MOVABLE, UNMOVABLE], orders: &[0], ..Alphabet::NONE },
};

/// As [`TWO_CPUS`], with ranges that begin and end within pageblocks.
pub(crate) const TWO_CPUS_AND_RANGES: Machine = Machine {
    name: "eight frames, two CPUs, ranges of every kind",
    setup: TWO_CPUS.setup,
    alphabet: Alphabet {
        isolate: ALL_AND_MIDDLE,
        contig: &[run(3, 2), run(5, 3)],
        offline: &[run(4, 4)],
        ..TWO_CPUS.alphabet
    },
};

/// Eight frames and every call, with blocks of a pageblock and more.
pub(crate) const EIGHT_EVERY_CALL: Machine = Machine {
    name: "eight frames in two pageblocks, large blocks, every call",
    setup: EIGHT,
    alphabet: Alphabet {
        requests: &[MOVABLE, UNMOVABLE],
        orders: &[2, 3],
        split: true,
        isolate: &[run(0, 1), run(4, 4), run(0, 8)],
        contig: &[run(2, 2), run(3, 3), run(0, 4)],
        owners: &Owners::ALL,
        offline: &[run(0, 4), run(4, 4)],
        ..Alphabet::NONE
    },
};
