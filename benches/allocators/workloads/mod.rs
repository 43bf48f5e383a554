//! What the allocators are made to do: hot pairs, bursts, mixed orders, a nearly full machine, two threads, initialisation,
//! fragmentation, exhaustion and misuse, on 4 GiB of frames.
//!
//! Those that have a time and a count of instructions for an allocation and its free are [`Steady`]; the others are functions that say
//! what they found. Neighbour: [`measure`](crate::measure) carries them out.

pub(crate) mod bursts;
pub(crate) mod exhaust;
pub(crate) mod fragmentation;
pub(crate) mod full;
pub(crate) mod init;
pub(crate) mod misuse;
pub(crate) mod mixed;
pub(crate) mod pairs;
pub(crate) mod states;
pub(crate) mod threads;

use crate::peer::{Orders, Pace, Peer, PeerId};

macro_rules! workloads {
    ($($(#[$doc:meta])* $id:ident $key:literal $title:literal $kind:expr, $orders:expr;)*) => {
        /// The workloads.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, clap::ValueEnum)]
        pub(crate) enum Workload {
            $($(#[$doc])* #[value(name = $key)] $id,)*
        }

        impl Workload {
            /// In the order of tables.
            pub(crate) const ALL: &[Self] = &[$(Self::$id),*];

            /// The name on the command line and in JSON.
            pub(crate) const fn key(self) -> &'static str {
                match self { $(Self::$id => $key,)* }
            }

            /// What it is, in tables.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$id => $title,)* }
            }

            /// What is found out with it.
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

/// What a workload tells of an allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Instructions and time for an allocation and its free.
    Steady,
    /// How much more two threads do than one.
    Threads,
    /// What it costs to begin.
    Init,
    /// How many blocks of 2 MiB there are in the end.
    Fragmentation,
    /// How many free frames it finds.
    Exhaust,
    /// What it says to a free that is wrong.
    Misuse,
}

workloads! {
    /// Order-0 pairs, on an allocator that has been used for a while.
    Pair "W1" "order-0 pair, used allocator" Kind::Steady, Orders::Zero;
    /// Order-0 pairs on a fresh allocator, mean over 16 numbers of frames that are kept.
    FreshPair "W1f" "order-0 pair, fresh allocator" Kind::Steady, Orders::Zero;
    /// 1024 allocations, then their frees in another order.
    Burst "W2" "burst of 1024, shuffled frees" Kind::Steady, Orders::Zero;
    /// Orders 0 to 9, half of memory allocated.
    Mixed "W3" "random orders 0 to 9" Kind::Steady, Orders::All;
    /// Order-9 pairs on a fresh allocator, mean over 16 numbers of blocks that are kept.
    HugePair "W4" "order-9 pair" Kind::Steady, Orders::All;
    /// A random frame is freed and one allocated, with 99 % of memory allocated.
    Full "W8" "order-0 pair, 99 % full" Kind::Steady, Orders::Zero;
    /// The same, 512 frames at a time.
    FullBurst "W8b" "burst of 512, 99 % full" Kind::Steady, Orders::Zero;
    /// W1 on one thread and on two.
    PairThreads "W5-W1" "order-0 pair, two threads" Kind::Threads, Orders::Zero;
    /// W2 on one thread and on two.
    BurstThreads "W5-W2" "burst of 1024, two threads" Kind::Threads, Orders::Zero;
    /// From fresh memory to an allocator.
    Init "W6" "initialisation" Kind::Init, Orders::Zero;
    /// Orders 0 to 9 take half of memory, 90 % of the blocks are freed.
    FragMixed "W7a" "mixed orders, 90 % freed" Kind::Fragmentation, Orders::All;
    /// Single frames take half of memory, 90 % are freed.
    FragSingle "W7b" "order 0, 90 % freed" Kind::Fragmentation, Orders::All;
    /// Single frames take 80 % of memory, one in ten of them to stay, which is said; the others are freed.
    FragHinted "W7c" "10 % long-lived, mobility given" Kind::Fragmentation, Orders::All;
    /// Single frames take all, a random half is freed, and a tenth of the rest is replaced 100 times.
    FragChurn "W7d" "half full, 100 times 10 % churn" Kind::Fragmentation, Orders::All;
    /// All frames are taken, 16,384 that lie apart freed, and as many asked for.
    Exhaust "exhaust" "frames found again when full" Kind::Exhaust, Orders::Zero;
    /// A frame is freed twice.
    DoubleFree "double-free" "double free" Kind::Misuse, Orders::Zero;
    /// A single frame is freed as a block of eight.
    WrongOrder "wrong-order" "free of a larger order" Kind::Misuse, Orders::All;
    /// A frame that the allocator does not manage is freed.
    OutOfRange "out-of-range" "free of a foreign frame" Kind::Misuse, Orders::Zero;
}

impl Workload {
    /// Whether the workload has a meaning for this allocator, and an end.
    pub(crate) fn suits(self, peer: PeerId) -> bool {
        let orders = self.orders() == Orders::Zero || peer.orders() == Orders::All;
        let pace = match self {
            // Millions of operations on half a million ranges.
            Self::FragSingle | Self::FragHinted | Self::FragChurn => peer.pace() == Pace::Brisk,
            _ => true,
        };
        let allocator = match self.kind() {
            Kind::Steady => true,
            Kind::Threads => peer != PeerId::Null,
            Kind::Init | Kind::Fragmentation | Kind::Exhaust | Kind::Misuse => {
                peer.competes() || peer == PeerId::Ours
            }
        };
        orders && pace && allocator
    }
}

/// A workload that is repeated: a round is timed, and its instructions counted.
pub(crate) trait Steady<P: Peer>: Sized {
    /// States in which rounds differ systematically: the figure is the mean over these.
    const STATES: usize = 1;

    /// Brings the allocator into the state in which it is measured.
    fn new(peer: &P) -> Self;

    /// Goes to the next of the states, before the rounds in it.
    fn enter(&mut self, _peer: &P, _state: usize) {}

    /// Draws what a round needs of random numbers. Not timed.
    fn prepare(&mut self) {}

    /// A round. Timed. Says what it did.
    fn round(&mut self, peer: &P) -> Done;
}

/// What a round did.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Done {
    /// Allocations with a free each.
    pub(crate) pairs: u64,
    /// Allocations that failed.
    pub(crate) failures: u64,
}

impl std::ops::AddAssign for Done {
    fn add_assign(&mut self, other: Self) {
        self.pairs += other.pairs;
        self.failures += other.failures;
    }
}
