//! How to use the allocator, chapter by chapter, and how it keeps its promise.
//!
//! 1. [Plugging in](plugging_in): from a boot memory map to the first frame.
//! 2. [CPUs and interrupts](cpus_and_interrupts): what to add as the kernel grows, and what may be called where.
//! 3. [Isolation and contiguous memory](isolation_and_contiguous_memory): emptying a range and taking it.
//! 4. [CMA](cma): memory that is lent to movable pages until a device wants it.
//! 5. [Hot-remove](hot_remove): taking memory out of use, and bringing it back.
//! 6. [Debugging](debugging): a count that drifts, a page that leaks.
//!
//! # The address line
//!
//! ```text
//!  frame      0      0x1000         0x10_0000
//!  address    0      16 MiB         4 GiB
//!             |------|--------------|----------------------       zone: who can reach it;
//!             | DMA  | DMA32        | Normal                      its own lock, counters, marks and lists
//!             |------|--------------|----------------------
//!             |######|####..########|##########     #######       # memory   . reserved   blank: a hole
//!                        /        \
//!                       /          \
//!             |-----------|-----------|-----------|
//!  pageblock  |  movable  | unmovable |    CMA    |               512 frames (2 MiB); a byte holds
//!             |-----------|-----------|-----------|               its migratetype and its isolated bit
//!  block      |     9     |  8  |7 |66|     9     |               order n: 2ⁿ frames, at a multiple of 2ⁿ
//!                                  ^^                             buddies: when both are free they are one of order 7
//! ```
//!
//! Free blocks of one order and one kind of pageblock are on one list. The largest order is 10: two pageblocks.
//!
//! # The states of a frame
//!
//! ```text
//!                       hole, reserved
//!                         |        ^
//!              add_memory |        | reserve
//!                         v        |
//!                       +------------+   isolate, test, take    +-------------+
//!                 .---> |    free    | -----------------------> | contiguous, |
//!                 |     |            | <----------------------- | offline     |
//!          spill, |     +------------+   free_contig, online    +-------------+
//!          drain, |       |        ^
//!          refill |  alloc|        | free
//!                 v       v        |
//!  +----------------+   +------------+   the owner is asked     +-------------+
//!  | on a CPU's     | ->| allocated  | -----------------------> | being moved |
//!  | list           | <-|            | <----------------------- |             |
//!  +----------------+   +------------+   it has the new frame;  +-------------+
//!                alloc, free             the old one is free
//! ```
//!
//! A block's state stands in the record of its first frame. Every arrow is one atomic exchange of that word, made under the lock of the list
//! that the block joins or leaves: of two frees, or of a free and a move, one wins, and the other learns what happened.
//!
//! # What is counted
//!
//! | a page that is | is free | is also |
//! |---|---|---|
//! | on a buddy list | yes | |
//! | on a CMA buddy list | yes | a free CMA page |
//! | on an isolated buddy list | **no** | an isolated page |
//! | on a CPU's list | no | a cached page |
//! | a guard | no | a guard page |
//! | offline | no | not managed |
//!
//! One function changes these counters, where a block joins or leaves a list, with the zone locked.
//!
//! # Invariants
//!
//! They hold whenever no lock is held, on every CPU. [`PageAllocator::verify`](crate::PageAllocator::verify) checks all of them, and
//! [`Violation`](crate::Violation) names the one that does not hold.
//!
//! | | |
//! |---|---|
//! | I1 | Every frame is in one place: it heads a block or is the tail of exactly one, and blocks do not overlap. |
//! | I2 | Every free block is on the list that each of its pageblocks names. |
//! | I3 | Every counter equals the walked lists. |
//! | I4 | Every block on a list is in the state that the list stands for, and no list is damaged. |
//! | I5 | present = free + isolated + cached + guard + allocated + offline |
//! | I6 | No two free buddies that may merge are both free. |
//! | I7 | What is read without a lock equals what is counted under it. |
//!
//! # Locks
//!
//! In this order, always with interrupts masked, and never two of one kind, except that
//! [`audit`](crate::PageAllocator::audit) and [`verify`](crate::PageAllocator::verify) take every CPU's lists of one zone, in order of the CPUs:
//!
//! 1. the lock of a CPU's lists for a zone,
//! 2. the zone's lock.
//!
//! The lock of a CMA area's bitmap is taken alone. No lock is held while the kernel is called back ([`Migrate`](crate::Migrate),
//! [`HotplugNotifier`](crate::HotplugNotifier), the log), so that it may call the allocator there; only [`GuardPages`](crate::GuardPages) is
//! told with a zone locked.
//!
//! # What may be called where
//!
//! | | in interrupt handlers | takes |
//! |---|---|---|
//! | allocate with [`Depth::Atomic`](crate::Depth::Atomic), free, [`free_contig`](crate::PageAllocator::free_contig) | yes | a list's lock, seldom the zone's |
//! | counts ([`free_count`](crate::PageAllocator::free_count) and others) | yes | no lock |
//! | [`buddyinfo`](crate::PageAllocator::buddyinfo), [`zoneinfo`](crate::PageAllocator::zoneinfo), [`meminfo`](crate::PageAllocator::meminfo) | yes | each zone's lock, for some hundred loads |
//! | allocate at another depth | no: the last try drains all CPUs' lists | |
//! | isolate, contiguous ranges, CMA, offline and online | no | time in proportion to the range |
//! | [`audit`](crate::PageAllocator::audit), [`verify`](crate::PageAllocator::verify) | no | a zone's locks for as long as the walk takes |
//!
//! A kernel that masks interrupts in [`Platform::without_interrupts`](crate::Platform::without_interrupts) can use the first three in any handler
//! but a non-maskable one.

#[doc = include_str!("cma.md")]
pub mod cma {}

#[doc = include_str!("cpus_and_interrupts.md")]
pub mod cpus_and_interrupts {}

#[doc = include_str!("debugging.md")]
pub mod debugging {}

#[doc = include_str!("hot_remove.md")]
pub mod hot_remove {}

#[doc = include_str!("isolation_and_contiguous_memory.md")]
pub mod isolation_and_contiguous_memory {}

#[doc = include_str!("plugging_in.md")]
pub mod plugging_in {}
