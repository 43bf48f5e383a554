//! Historical accounting mistakes that tests switch on to see them found.
//!
//! Without the `faults` feature [`FaultSwitch`] is empty, [`fault!`] is the constant `false`, [`when_fault!`] is nothing, and no
//! marked point leaves code behind. With it, each mistake is put back at the place where history made it; what the old code did
//! differently from there on is in [`buddy::history`](crate::buddy). Nothing in the crate switches a fault on by itself.
//!
//! The numbers are the patches of the 2014 discussion "fix freepage count problems due to memory isolation". Four of the ten are no
//! mistakes. Where the idea of each lives here: patch 1 (a branch hint) has no place, because whether a block is isolated is a match
//! arm in [`counters`](crate::counters); patch 6 (one interface for the type on a pcplist, one for the type on a buddy list) is
//! [`pcp::ListId`](crate::pcp) against [`FreeKind`](crate::FreeKind); patches 7 and 8 (a free page knows which list it is on, and
//! leaves that one) are `FrameState::free` and `Buddy::unfile`.

#[cfg(feature = "faults")]
mod on {
    use crate::migratetype::FreeKind;
    use crate::sync::{Ordering, PlainRwLock, PlainU32};

    bitflags::bitflags! {
        /// A set of mistakes. Feature `faults`.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Faults: u32 {
            /// One line of accounting is left out: a block of order 0 that joins a buddy list is not counted. No patch of
            /// history, but the simplest thing an audit must see. Drift: −1 page each.
            const SKIPPED_ACCOUNT = 1 << 0;
            /// Patch 2: a guard buddy that merges into an isolated block is counted as free. Drift: +2ᵏ pages each.
            const GUARD_COUNTED = 1 << 1;
            /// Patch 3: a page spilled from a pcplist goes to the list of the type it was cached under, whatever its
            /// pageblock is now. Drift: −1 page each, and −2ᵏ for isolated buddies that it swallows.
            const CACHED_TYPE_AT_SPILL = 1 << 2;
            /// Patch 4: the pageblock is read as isolated before the lock and taken for isolated after it. Drift: +2ᵏ for counted
            /// buddies that the page takes along to the isolated list.
            const STALE_ISOLATED = 1 << 3;
            /// Patch 5: the pageblock is read as not isolated before the lock and taken for that after it. Drift: −2ᵏ for isolated
            /// buddies that the page takes along to an ordinary list. Frees bypass the pcplists while it is on, as all frees
            /// of higher orders did.
            const STALE_NORMAL = 1 << 4;
            /// Patch 9: moving a pageblock's free pages reports those found there, not those moved. Drift: −m for m pages that
            /// were on the isolated list already, +m on undo for m that were on the ordinary one.
            const MOVED_MEANS_FOUND = 1 << 5;
            /// Patch 10: buddies of pageblock size and more merge although one is isolated. Drift: ±2ᵏ, k at least the
            /// pageblock order.
            const MERGE_ACROSS = 1 << 6;
            /// v3.18 to v4.6: the merge limit looks at the freed page's pageblock and not at its buddy's. Drift: −2ᵏ, k at
            /// least the pageblock order.
            const FREED_BLOCK_ONLY = 1 << 7;
            /// 2018 and 2022: isolated buddies span pageblocks, and the undo of one clears only the first. Drift: up to
            /// +1 pageblock for each of the others.
            const FIRST_BLOCK_ONLY = 1 << 8;
            /// v6.10 on: a guard that merges on free is never counted again. Drift: −2ᵏ each.
            const GUARD_NOT_COUNTED = 1 << 9;
            /// The W2 window, open in Linux for contiguous allocations: a free reads the pageblock's state before it locks its
            /// pcplist. No drift, but a page of an isolated block on a pcplist after the drain, where nobody finds it.
            const STATE_READ_BEFORE_PCP_LOCK = 1 << 10;
            /// A mover does not look whether the owner freed the block meanwhile. No patch of history: Linux counts references.
            /// No drift, but pages that nobody owns and nobody gets.
            const FREED_WHILE_MOVED_LOST = 1 << 11;
            /// The kernel of the discussion before its ten patches: 2, 3, 4, 5, 9 and 10.
            const UNPATCHED = Self::GUARD_COUNTED.bits() | Self::CACHED_TYPE_AT_SPILL.bits()
                | Self::STALE_ISOLATED.bits() | Self::STALE_NORMAL.bits()
                | Self::MOVED_MEANS_FOUND.bits() | Self::MERGE_ACROSS.bits();
        }
    }

    impl Faults {
        /// Every fault with its command-line name, in the order of the discussion.
        pub const NAMES: &'static [(&'static str, Self)] = &[
            ("skipped-account", Self::SKIPPED_ACCOUNT),
            ("guard-counted", Self::GUARD_COUNTED),
            ("cached-type-at-spill", Self::CACHED_TYPE_AT_SPILL),
            ("stale-isolated", Self::STALE_ISOLATED),
            ("stale-normal", Self::STALE_NORMAL),
            ("moved-means-found", Self::MOVED_MEANS_FOUND),
            ("merge-across", Self::MERGE_ACROSS),
            ("freed-block-only", Self::FREED_BLOCK_ONLY),
            ("first-block-only", Self::FIRST_BLOCK_ONLY),
            ("guard-not-counted", Self::GUARD_NOT_COUNTED),
            ("w2-window", Self::STATE_READ_BEFORE_PCP_LOCK),
            ("freed-while-moved-lost", Self::FREED_WHILE_MOVED_LOST),
            ("unpatched", Self::UNPATCHED),
        ];

        /// The fault of this command-line name.
        #[must_use]
        pub fn by_name(name: &str) -> Option<Self> {
            Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
        }
    }

    /// A place between two lock holds where other CPUs can do what they like. No lock is held there. Feature `faults`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[non_exhaustive]
    pub enum YieldPoint {
        /// A free is about to lock its pcplist. With [`Faults::STATE_READ_BEFORE_PCP_LOCK`] it has read the pageblock's state.
        FreeBeforePcpLock,
        /// A free to the buddy is about to lock its zone. With a stale-read fault on it has read the pageblock's state.
        FreeHasReadState,
        /// An isolation has switched its pageblocks and not yet drained the pcplists.
        IsolatedNotDrained,
        /// An undo has switched one pageblock and not yet the next.
        UndoBetweenBlocks,
    }

    /// What runs at yield points.
    pub type YieldHook = &'static (dyn Fn(YieldPoint) + Sync);

    /// The faults that are switched on, and what runs at yield points. Changeable at any time from any CPU.
    pub(crate) struct FaultSwitch {
        bits: PlainU32,
        hook: PlainRwLock<Option<YieldHook>>,
    }

    impl core::fmt::Debug for FaultSwitch {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.debug_tuple("FaultSwitch").field(&self.on()).finish()
        }
    }

    /// A pageblock's state as it was read when no lock kept it still.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Stale(pub(crate) FreeKind);

    impl Stale {
        /// The state to act on: the stale one, if a fault has kept one.
        pub(crate) fn or_now(early: Option<Self>, now: impl FnOnce() -> FreeKind) -> FreeKind {
            early.map_or_else(now, |stale| stale.0)
        }
    }

    impl FaultSwitch {
        pub(crate) fn new() -> Self {
            Self { bits: PlainU32::new(0), hook: PlainRwLock::new(None) }
        }

        pub(crate) fn set(&self, faults: Faults) {
            self.bits.store(faults.bits(), Ordering::Relaxed);
        }

        pub(crate) fn set_hook(&self, hook: Option<YieldHook>) {
            *self.hook.write() = hook;
        }

        fn on(&self) -> Faults {
            Faults::from_bits_truncate(self.bits.load(Ordering::Relaxed))
        }

        pub(crate) fn is_on(&self, fault: Faults) -> bool {
            self.on().intersects(fault)
        }

        pub(crate) fn reached(&self, point: YieldPoint) {
            // An interrupt handler may come between; readers do not wait for each other.
            let hook = self.hook.try_read().and_then(|hook| *hook);
            if let Some(hook) = hook {
                hook(point);
            }
        }

        /// Whether anything is on or looking that the fast path has no place for.
        pub(crate) fn is_awake(&self) -> bool {
            !self.on().is_empty() || self.hook.try_read().is_none_or(|hook| hook.is_some())
        }

        /// Reads the state before the pcplist's lock, for the fault that does so and uses it after.
        pub(crate) fn read_before_pcp_lock(&self, read: impl FnOnce() -> FreeKind) -> Option<Stale> {
            let early = self.is_on(Faults::STATE_READ_BEFORE_PCP_LOCK).then(|| Stale(read()));
            self.reached(YieldPoint::FreeBeforePcpLock);
            early
        }

        /// Reads the state before the zone's lock, for the faults that do so and use it after.
        pub(crate) fn read_before_zone_lock(&self, read: impl FnOnce() -> FreeKind) -> Option<Stale> {
            let early = self.is_on(Faults::STALE_ISOLATED | Faults::STALE_NORMAL).then(read);
            self.reached(YieldPoint::FreeHasReadState);
            let kind = early?;
            let fault =
                if kind == FreeKind::Isolated { Faults::STALE_ISOLATED } else { Faults::STALE_NORMAL };
            self.is_on(fault).then_some(Stale(kind))
        }
    }
}

#[cfg(feature = "faults")]
pub(crate) use on::{FaultSwitch, Stale};
#[cfg(feature = "faults")]
pub use on::{Faults, YieldHook, YieldPoint};

#[cfg(not(feature = "faults"))]
mod off {
    use core::convert::Infallible;

    use crate::migratetype::FreeKind;

    /// Nothing: faults are compiled out.
    #[derive(Debug)]
    pub(crate) struct FaultSwitch;

    /// There is no stale state.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Stale(pub(crate) Infallible);

    impl Stale {
        #[inline(always)]
        pub(crate) fn or_now(early: Option<Self>, now: impl FnOnce() -> FreeKind) -> FreeKind {
            match early {
                None => now(),
                Some(Self(never)) => match never {},
            }
        }
    }

    impl FaultSwitch {
        pub(crate) fn new() -> Self {
            Self
        }

        #[inline(always)]
        #[expect(clippy::unused_self, reason = "as with the feature on")]
        pub(crate) fn read_before_pcp_lock(&self, _: impl FnOnce() -> FreeKind) -> Option<Stale> {
            None
        }

        #[inline(always)]
        #[expect(clippy::unused_self, reason = "as with the feature on")]
        pub(crate) fn read_before_zone_lock(&self, _: impl FnOnce() -> FreeKind) -> Option<Stale> {
            None
        }
    }
}

#[cfg(not(feature = "faults"))]
pub(crate) use off::{FaultSwitch, Stale};

/// Whether any of these mistakes is switched on: `fault!(mem, NAME | NAME)`.
#[cfg(feature = "faults")]
macro_rules! fault {
    ($mem:expr, $($name:ident)|+) => {
        $mem.faults.is_on($($crate::faults::Faults::$name)|+)
    };
}

#[cfg(not(feature = "faults"))]
macro_rules! fault {
    ($mem:expr, $($name:ident)|+) => {
        false
    };
}

/// Runs a block if any of these mistakes is switched on; the block is not compiled otherwise.
#[cfg(feature = "faults")]
macro_rules! when_fault {
    ($mem:expr, $($name:ident)|+ => $body:block) => {
        if $crate::faults::fault!($mem, $($name)|+) $body
    };
}

#[cfg(not(feature = "faults"))]
macro_rules! when_fault {
    ($mem:expr, $($name:ident)|+ => $body:block) => {};
}

/// Whether a free must go the way that has places for faults and hooks.
#[cfg(feature = "faults")]
macro_rules! takes_slow_path {
    ($mem:expr) => {
        $mem.faults.is_awake()
    };
}

#[cfg(not(feature = "faults"))]
macro_rules! takes_slow_path {
    ($mem:expr) => {
        false
    };
}

/// A place between two lock holds: runs the hook, if faults are compiled in and one is set.
#[cfg(feature = "faults")]
macro_rules! yield_point {
    ($mem:expr, $point:ident) => {
        $mem.faults.reached($crate::faults::YieldPoint::$point)
    };
}

#[cfg(not(feature = "faults"))]
macro_rules! yield_point {
    ($mem:expr, $point:ident) => {};
}

pub(crate) use {fault, takes_slow_path, when_fault, yield_point};
