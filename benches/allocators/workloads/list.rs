//! The list of workloads.

use crate::peer::{Orders, Pace, PeerId};

macro_rules! workloads {
    ($($(#[$doc:meta])* $id:ident $key:literal $title:literal $kind:expr, $orders:expr;)*) => {
        /// The workloads.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, clap::ValueEnum)]
        pub(crate) enum Workload {
            $($(#[$doc])* #[value(name = $key)] $id,)*
        }

        impl Workload {
            /// All of them, in the order of tables.
            pub(crate) const ALL: &[Self] = &[$(Self::$id),*];

            /// The name on the command line and in JSON.
            pub(crate) const fn key(self) -> &'static str {
                match self { $(Self::$id => $key,)* }
            }

            /// The description in tables.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$id => $title,)* }
            }

            /// The kind of its result.
            pub(crate) const fn kind(self) -> Kind {
                match self { $(Self::$id => $kind,)* }
            }

            /// The orders that it allocates.
            const fn orders(self) -> Orders {
                match self { $(Self::$id => $orders,)* }
            }
        }
    };
}

/// The kind of result that a workload has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Instructions and time for an allocation and its free.
    Steady,
    /// Instructions of a call of pageblock on a machine of its own.
    Machine,
    /// The throughput of one thread and of two.
    Threads,
    /// The cost of initialisation.
    Init,
    /// The number of blocks of 2 MiB that can be allocated at the end.
    Fragmentation,
    /// The number of free frames that can be allocated.
    Exhaust,
    /// The reaction to a wrong free.
    Misuse,
}

workloads! {
    /// Order-0 pairs on an allocator with fragmented free memory.
    Pair "W1" "order-0 pair, used allocator" Kind::Steady, Orders::Zero;
    /// Order-0 pairs on a fresh allocator, mean over 1 to 16 frames that stay allocated.
    FreshPair "W1f" "order-0 pair, fresh allocator" Kind::Steady, Orders::Zero;
    /// 1024 allocations, then their frees in another order.
    Burst "W2" "burst of 1024, shuffled frees" Kind::Steady, Orders::Zero;
    /// Orders 0 to 9, half of memory allocated.
    Mixed "W3" "random orders 0 to 9" Kind::Steady, Orders::All;
    /// Order-9 pairs on a fresh allocator, mean over 1 to 16 blocks that stay allocated.
    HugePair "W4" "order-9 pair" Kind::Steady, Orders::All;
    /// A random frame is freed and one allocated, with 99 % of memory allocated.
    Full "W8" "order-0 pair, 99 % full" Kind::Steady, Orders::Zero;
    /// The same, 512 frames at a time.
    FullBurst "W8b" "burst of 512, 99 % full" Kind::Steady, Orders::Zero;
    /// CPU 0 allocates 512 frames, CPU 1 frees them.
    HandOver "W9" "one CPU allocates, another frees" Kind::Steady, Orders::Zero;
    /// 65,536 allocations, then their frees in another order.
    LargeBurst "W10" "burst of 65,536, shuffled frees" Kind::Steady, Orders::Zero;
    /// W1 on one thread and on two.
    PairThreads "W5-W1" "order-0 pair, two threads" Kind::Threads, Orders::Zero;
    /// W2 on one thread and on two.
    BurstThreads "W5-W2" "burst of 1024, two threads" Kind::Threads, Orders::Zero;
    /// The same, after both CPUs have fragmented free memory.
    AgedBurstThreads "W5-W2a" "burst of 1024, two threads, aged by both" Kind::Threads, Orders::Zero;
    /// Bursts of 1024 on a machine of 1 GiB with four CPUs, with the default watermarks.
    SmallMachine "M1" "burst of 1024, 1 GiB, 4 CPUs" Kind::Machine, Orders::Zero;
    /// Order-0 pairs while the highest zone is at its low mark.
    LowMark "M2" "pair, top zone at its low mark" Kind::Machine, Orders::Zero;
    /// A refused allocation with 64 CPUs.
    Refusal "M3" "refused allocation, 64 CPUs" Kind::Machine, Orders::Zero;
    /// The isolation of a pageblock that was never used, with 64 CPUs.
    Isolate "M4" "isolate a fresh pageblock, 64 CPUs" Kind::Machine, Orders::Zero;
    /// `CmaArea::new` of 16 GiB.
    CmaNew "C1" "CMA area of 16 GiB: new" Kind::Machine, Orders::Zero;
    /// `CmaArea::stats` of 16 GiB.
    CmaStats "C2" "CMA area of 16 GiB: stats" Kind::Machine, Orders::Zero;
    /// A refused `CmaArea::alloc` of 16 GiB.
    CmaFull "C3" "CMA area of 16 GiB: full" Kind::Machine, Orders::Zero;
    /// 8 MiB of a CMA area, and back.
    CmaAlloc "C4" "CMA: 8 MiB, all free" Kind::Machine, Orders::Zero;
    /// 8 MiB of a CMA area that is full of movable pages, one of which cannot be migrated.
    CmaPinned "C5" "CMA: 8 MiB in use, one page pinned" Kind::Machine, Orders::Zero;
    /// Initialisation of an allocator.
    Init "W6" "initialisation" Kind::Init, Orders::Zero;
    /// Orders 0 to 9 take half of memory, 90 % of the blocks are freed.
    FragMixed "W7a" "mixed orders, 90 % freed" Kind::Fragmentation, Orders::All;
    /// Single frames take half of memory, 90 % are freed.
    FragSingle "W7b" "order 0, 90 % freed" Kind::Fragmentation, Orders::All;
    /// Single frames take 80 % of memory. One in ten is allocated as unmovable and stays.
    FragHinted "W7c" "10 % long-lived, mobility given" Kind::Fragmentation, Orders::All;
    /// Single frames take all, a random half is freed, and a tenth of the rest is replaced 100
    /// times.
    FragChurn "W7d" "half full, 100 times 10 % churn" Kind::Fragmentation, Orders::All;
    /// All frames are allocated, 16,384 frames without free neighbours are freed and allocated
    /// again.
    Exhaust "exhaust" "frames found again when full" Kind::Exhaust, Orders::Zero;
    /// A frame is freed twice.
    DoubleFree "double-free" "double free" Kind::Misuse, Orders::Zero;
    /// A single frame is freed as a block of eight.
    WrongOrder "wrong-order" "free of a larger order" Kind::Misuse, Orders::All;
    /// A frame that the allocator does not manage is freed.
    OutOfRange "out-of-range" "free of a foreign frame" Kind::Misuse, Orders::Zero;
}

impl Workload {
    /// Whether the workload makes sense for this allocator and finishes in reasonable time.
    pub(crate) fn suits(self, peer: PeerId) -> bool {
        let orders = self.orders() == Orders::Zero || peer.orders() == Orders::All;
        let pace = match self {
            // These do millions of operations while memory has half a million free ranges.
            Self::FragSingle | Self::FragHinted | Self::FragChurn => peer.pace() == Pace::Normal,
            _ => true,
        };
        let allocator = match self.kind() {
            Kind::Steady => true,
            Kind::Threads => peer != PeerId::Null,
            Kind::Machine => peer.is_ours(),
            Kind::Init | Kind::Fragmentation | Kind::Exhaust | Kind::Misuse => {
                peer.competes() || peer.is_ours()
            }
        };
        orders && pace && allocator
    }

    /// The targets for the instructions of a pair or a call: of the default mode, and of the
    /// owner-only mode.
    pub(crate) const fn targets(self) -> Option<(f64, f64)> {
        Some(match self {
            Self::Pair | Self::FreshPair | Self::Full => (85.0, 50.0),
            Self::Burst => (110.0, 70.0),
            Self::Mixed => (150.0, 120.0),
            Self::HugePair => (100.0, 60.0),
            Self::FullBurst => (125.0, 95.0),
            Self::HandOver => (150.0, 130.0),
            Self::LargeBurst => (240.0, 200.0),
            Self::SmallMachine => (130.0, 130.0),
            Self::LowMark => (130.0, 100.0),
            Self::Refusal => (2e3, 2e3),
            Self::Isolate => (15e3, 15e3),
            Self::CmaNew => (5e6, 5e6),
            Self::CmaStats | Self::CmaFull => (50e3, 50e3),
            Self::CmaAlloc => (22e3, 22e3),
            Self::CmaPinned => (2.5e6, 2.5e6),
            _ => return None,
        })
    }

    /// The target for the throughput of two threads, as a multiple of that of one, in both modes.
    pub(crate) const fn scaling_target(self) -> Option<f64> {
        match self {
            Self::BurstThreads | Self::AgedBurstThreads => Some(1.95),
            _ => None,
        }
    }
}
