//! Historical accounting mistakes, which tests switch on to check that an audit finds them.
//!
//! Each mistake is at the place where Linux had it: the code there calls [`FaultSwitch::is_on`],
//! and [`buddy::legacy`](crate::buddy) has what the old kernel did. All faults are off at first.
//!
//! The numbers are those of the ten patches of the 2014 discussion "fix freepage count problems due
//! to memory isolation". Four of them correct no mistake and so have no fault: patch 1 (a branch
//! hint) is not needed, because *is it isolated* is a match arm in [`counters`](crate::buddy);
//! patch 6 (separate interfaces for the type of a pcplist and of a buddy list) is the pcplist slot
//! and [`FreeKind`]; patches 7 and 8 (a free page stores which list it is on, and leaves that one)
//! are `FrameState::free` and `Buddy::remove`.

#![cfg_attr(
    not(feature = "faults"),
    expect(dead_code, unreachable_pub, reason = "exported with the feature `faults`")
)]

use core::fmt;

use crate::base::FreeKind;
use crate::sync::{Ordering, PlainRwLock, PlainU32};

bitflags::bitflags! {
    /// A set of historical mistakes. Feature `faults`.
    ///
    /// The *drift* is by how much the free count becomes wrong, in pages; k is an order.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Faults: u32 {
        /// A block of order 0 that joins a buddy list is not counted. Not from history: it is the
        /// simplest mistake that an audit must find. Drift: −1 each.
        const SKIPPED_ACCOUNT = 1 << 0;
        /// Patch 2: a guard that merges into an isolated block is counted as free. Drift: +2ᵏ each.
        const GUARD_COUNTED = 1 << 1;
        /// Patch 3: a page that a pcplist spills goes to the list of the type that it was cached
        /// for, although its pageblock is isolated. Drift: −1 each, and −2ᵏ for isolated buddies.
        const CACHED_TYPE_AT_SPILL = 1 << 2;
        /// Patch 4: a free uses the state that it read before it took the lock, if isolated. Drift:
        /// +2ᵏ for counted buddies that merge and go to the isolated list uncounted.
        const STALE_ISOLATED = 1 << 3;
        /// Patch 5: a free uses the state that it read before it took the lock, if that was not
        /// isolated. Drift: −2ᵏ for isolated buddies that merge and go to an ordinary list
        /// uncounted. While it is on frees bypass the pcplists, as all high-order frees did then.
        const STALE_NORMAL = 1 << 4;
        /// Patch 9: the move of a pageblock's free pages to another list reports all pages that it
        /// finds there, also those that are on that list already. Drift: −m for m pages that were
        /// isolated already, +m at the undo for m that were not.
        const MOVED_MEANS_FOUND = 1 << 5;
        /// Patch 10: blocks of at least the pageblock order merge across isolation. Drift: ±2ᵏ.
        const MERGE_ACROSS = 1 << 6;
        /// v3.18 to v4.6: whether buddies of at least the pageblock order merge depends on the
        /// freed block's pageblock, but not on the buddy's. Drift: −2ᵏ.
        const FREED_BLOCK_ONLY = 1 << 7;
        /// 2018 and 2022: an isolated block spans pageblocks, and the undo clears the flag of the
        /// first one only. Drift: up to +1 pageblock for each of the others.
        const FIRST_BLOCK_ONLY = 1 << 8;
        /// Since v6.10: a guard that merges with a freed buddy is not counted. Drift: −2ᵏ each.
        const GUARD_NOT_COUNTED = 1 << 9;
        /// In Linux today: a free reads the pageblock's state before it locks its pcplist. No
        /// drift, but a page of an isolated pageblock can be on a pcplist after the drain.
        const STATE_READ_BEFORE_PCP_LOCK = 1 << 10;
        /// A migration does not check whether the owner freed the block meanwhile. Not from
        /// history, as Linux counts references. No drift, but the pages are lost.
        const FREED_WHILE_MOVED_LOST = 1 << 11;
        /// A block that is reported to the host is put back on its list when it is handed over, and
        /// not when the host has acknowledged it. Not from history: it is what the batch of free
        /// page reporting is for. No drift, but the host discards pages that are in use.
        const REPORTED_BEFORE_ACKNOWLEDGED = 1 << 12;
        /// The kernel before the ten patches: the mistakes of patches 2, 3, 4, 5, 9 and 10.
        const UNPATCHED = Self::GUARD_COUNTED.bits() | Self::CACHED_TYPE_AT_SPILL.bits()
            | Self::STALE_ISOLATED.bits() | Self::STALE_NORMAL.bits()
            | Self::MOVED_MEANS_FOUND.bits() | Self::MERGE_ACROSS.bits();
    }
}

impl Faults {
    /// Every fault with its name on command lines.
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
        ("reported-before-acknowledged", Self::REPORTED_BEFORE_ACKNOWLEDGED),
        ("unpatched", Self::UNPATCHED),
    ];

    /// The fault with this name; `None` if there is none.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    }
}

/// A point between two lock holds, at which tests let other CPUs run. Feature `faults`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum YieldPoint {
    /// Before a free accesses its pcplist. With a stale-read fault it has read the pageblock's
    /// state.
    FreeBeforePcpLock,
    /// Before a free locks its zone. With a stale-read fault it has read the pageblock's state.
    FreeHasReadState,
    /// After an isolation has set the isolated flags, before it drains the pcplists.
    IsolatedNotDrained,
    /// After an undo has cleared the isolated flag of one pageblock, before the next.
    UndoBetweenBlocks,
}

/// A function that runs at yield points, with no lock held.
pub type YieldHook = &'static (dyn Fn(YieldPoint) + Sync);

/// The faults that are on, and the hook of the yield points. Any CPU may change them at any time.
pub(crate) struct FaultSwitch {
    bits: PlainU32,
    hook: PlainRwLock<Option<YieldHook>>,
}

impl fmt::Debug for FaultSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultSwitch").field(&self.bits).finish()
    }
}

/// The kind of a pageblock's free list, read before the lock was taken: it may be out of date.
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

    /// Whether any of `faults` is on; always false without the feature `faults`.
    #[inline(always)]
    pub(crate) fn is_on(&self, faults: Faults) -> bool {
        cfg!(feature = "faults") && self.bits.load(Ordering::Relaxed) & faults.bits() != 0
    }

    #[inline(always)]
    pub(crate) fn reached(&self, point: YieldPoint) {
        if cfg!(feature = "faults") {
            // Not `read`: an interrupt handler must not wait for a writer that it interrupted.
            let hook = self.hook.try_read().and_then(|hook| *hook);
            if let Some(hook) = hook {
                hook(point);
            }
        }
    }

    /// Whether a free must take the slow path: only that has the faults and the yield points.
    #[inline(always)]
    pub(crate) fn needs_slow_path(&self) -> bool {
        cfg!(feature = "faults")
            && (self.is_on(Faults::all()) || self.hook.try_read().is_none_or(|hook| hook.is_some()))
    }

    /// Reads the pageblock's kind before the pcplist is accessed, if that fault is on.
    #[inline(always)]
    pub(crate) fn read_before_pcp_lock(&self, read: impl FnOnce() -> FreeKind) -> Option<StaleKind> {
        let stale = self.is_on(Faults::STATE_READ_BEFORE_PCP_LOCK).then(|| StaleKind(read()));
        self.reached(YieldPoint::FreeBeforePcpLock);
        stale
    }

    /// Reads the pageblock's kind before the zone is locked, if one of those faults is on.
    #[inline(always)]
    pub(crate) fn read_before_zone_lock(&self, read: impl FnOnce() -> FreeKind) -> Option<StaleKind> {
        let stale = self.is_on(Faults::STALE_ISOLATED | Faults::STALE_NORMAL).then(read);
        self.reached(YieldPoint::FreeHasReadState);
        let kind = stale?;
        let fault = if kind == FreeKind::Isolated { Faults::STALE_ISOLATED } else { Faults::STALE_NORMAL };
        self.is_on(fault).then_some(StaleKind(kind))
    }
}
