//! Historical accounting mistakes, which tests switch on to see an audit find them.
//!
//! Each mistake is put back at the place where Linux had it: code asks [`FaultSwitch::is_on`]
//! there, and what the old kernel did from there on is in [`buddy::legacy`](crate::buddy). Nothing
//! in the crate switches a fault on by itself.
//!
//! The numbers are the patches of the 2014 discussion "fix freepage count problems due to memory
//! isolation". Four of the ten correct no mistake. Their ideas stand here: patch 1 (a branch hint)
//! is not needed, because whether a page is isolated is a match arm in [`counters`](crate::buddy);
//! patch 6 (separate interfaces for the type on a pcplist and the type on a buddy list) is the
//! pcplist's slot against [`FreeKind`](crate::FreeKind); patches 7 and 8 (a free page knows its
//! list, and leaves that one) are `FrameState::free` and `Buddy::remove`.

#![cfg_attr(
    not(feature = "faults"),
    expect(dead_code, unreachable_pub, reason = "exported with the feature `faults`")
)]

use core::fmt;

use crate::base::FreeKind;
use crate::sync::{Ordering, PlainRwLock, PlainU32};

bitflags::bitflags! {
    /// A set of mistakes. Feature `faults`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Faults: u32 {
        /// One line of accounting is left out: a block of order 0 that joins a buddy list is not
        /// counted. No patch of history, but the simplest error an audit must see. Drift: −1 page
        /// each.
        const SKIPPED_ACCOUNT = 1 << 0;
        /// Patch 2: a guard buddy that merges into an isolated block is counted as free. Drift: +2ᵏ
        /// pages each.
        const GUARD_COUNTED = 1 << 1;
        /// Patch 3: a page spilled from a pcplist goes to the list of the type it was cached under,
        /// whatever its pageblock is now. Drift: −1 page each, and −2ᵏ for isolated buddies that it
        /// merges with.
        const CACHED_TYPE_AT_SPILL = 1 << 2;
        /// Patch 4: the pageblock is read as isolated before the lock and treated as isolated after
        /// it. Drift: +2ᵏ for counted buddies that the page takes along to the isolated list.
        const STALE_ISOLATED = 1 << 3;
        /// Patch 5: the pageblock is read as not isolated before the lock and treated so after it.
        /// Drift: −2ᵏ for isolated buddies that the page takes along to an ordinary list. Frees
        /// bypass the pcplists while it is on, as all frees of higher orders did.
        const STALE_NORMAL = 1 << 4;
        /// Patch 9: moving a pageblock's free pages reports those found there, not those moved.
        /// Drift: −m for m pages that were on the isolated list already, +m on undo for m that were
        /// on the ordinary one.
        const MOVED_MEANS_FOUND = 1 << 5;
        /// Patch 10: buddies of pageblock size and more merge although one is isolated. Drift: ±2ᵏ,
        /// k at least the pageblock order.
        const MERGE_ACROSS = 1 << 6;
        /// v3.18 to v4.6: the merge limit looks at the freed page's pageblock and not at its
        /// buddy's. Drift: −2ᵏ, k at least the pageblock order.
        const FREED_BLOCK_ONLY = 1 << 7;
        /// 2018 and 2022: isolated buddies span pageblocks, and the undo of one clears only the
        /// first. Drift: up to +1 pageblock for each of the others.
        const FIRST_BLOCK_ONLY = 1 << 8;
        /// v6.10 on: a guard that merges on free is never counted again. Drift: −2ᵏ each.
        const GUARD_NOT_COUNTED = 1 << 9;
        /// The W2 window, open in Linux for contiguous allocations: a free reads the pageblock's
        /// state before it locks its pcplist. No drift, but a page of an isolated pageblock is on a
        /// pcplist after the drain, where no isolation finds it.
        const STATE_READ_BEFORE_PCP_LOCK = 1 << 10;
        /// A migration does not check whether the owner freed the block meanwhile. No patch of
        /// history: Linux counts references. No drift, but pages without an owner that cannot be
        /// allocated.
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

    /// The fault with this command-line name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    }
}

/// A place between two lock holds where other CPUs may run. No lock is held there. Feature
/// `faults`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum YieldPoint {
    /// A free is about to lock its pcplist. With [`Faults::STATE_READ_BEFORE_PCP_LOCK`] it has read
    /// the pageblock's state.
    FreeBeforePcpLock,
    /// A free to the buddy is about to lock its zone. With a stale-read fault on it has read the
    /// pageblock's state.
    FreeHasReadState,
    /// An isolation has switched its pageblocks and not yet drained the pcplists.
    IsolatedNotDrained,
    /// An undo has switched one pageblock and not yet the next.
    UndoBetweenBlocks,
}

/// What runs at yield points.
pub type YieldHook = &'static (dyn Fn(YieldPoint) + Sync);

/// The faults that are on and the hook of the yield points. Any CPU can change them at any time.
pub(crate) struct FaultSwitch {
    bits: PlainU32,
    hook: PlainRwLock<Option<YieldHook>>,
}

impl fmt::Debug for FaultSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultSwitch").field(&self.bits).finish()
    }
}

/// The free list that a pageblock's state named when it was read without a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StaleKind(pub(crate) FreeKind);

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

    /// Whether any of `faults` is switched on: never without the feature `faults`.
    #[inline(always)]
    pub(crate) fn is_on(&self, faults: Faults) -> bool {
        cfg!(feature = "faults") && self.bits.load(Ordering::Relaxed) & faults.bits() != 0
    }

    /// Runs the hook, if one is set.
    #[inline(always)]
    pub(crate) fn reached(&self, point: YieldPoint) {
        if cfg!(feature = "faults") {
            // Not `read`: an interrupt handler may come between, and must not wait for a writer.
            let hook = self.hook.try_read().and_then(|hook| *hook);
            if let Some(hook) = hook {
                hook(point);
            }
        }
    }

    /// Whether a free must take the slow path, which alone has the faults and the yield points.
    #[inline(always)]
    pub(crate) fn needs_slow_path(&self) -> bool {
        cfg!(feature = "faults")
            && (self.is_on(Faults::all()) || self.hook.try_read().is_none_or(|hook| hook.is_some()))
    }

    /// Reads the state before the pcplist's lock, for the fault that uses it after.
    #[inline(always)]
    pub(crate) fn read_before_pcp_lock(&self, read: impl FnOnce() -> FreeKind) -> Option<StaleKind> {
        let stale = self.is_on(Faults::STATE_READ_BEFORE_PCP_LOCK).then(|| StaleKind(read()));
        self.reached(YieldPoint::FreeBeforePcpLock);
        stale
    }

    /// Reads the state before the zone's lock, for the faults that use it after.
    #[inline(always)]
    pub(crate) fn read_before_zone_lock(&self, read: impl FnOnce() -> FreeKind) -> Option<StaleKind> {
        let stale = self.is_on(Faults::STALE_ISOLATED | Faults::STALE_NORMAL).then(read);
        self.reached(YieldPoint::FreeHasReadState);
        let kind = stale?;
        let fault = if kind == FreeKind::Isolated { Faults::STALE_ISOLATED } else { Faults::STALE_NORMAL };
        self.is_on(fault).then_some(StaleKind(kind))
    }
}
