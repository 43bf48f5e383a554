//! The guide: how to use the allocator, and how it works.
//!
//! This page has the pictures, terms and rules that all chapters use. It is for kernel developers
//! who are new to the crate. Each chapter is for one task; they are in the order in which a kernel
//! meets these tasks:
//!
//! 1. [Plugging in](plugging_in): from a boot memory map to the first frame.
//! 2. [CPUs and interrupts](cpus_and_interrupts): what to implement as the kernel grows.
//! 3. [Access modes](access_modes): how CPUs reach their pcplists, and which way is yours.
//! 4. [Testing your platform](testing_your_platform): finding mistakes in that implementation.
//! 5. [Isolation and contiguous memory](isolation_and_contiguous_memory): emptying a range and
//!    taking it.
//! 6. [CMA](cma): areas that movable pages use until a device needs contiguous memory.
//! 7. [Giving memory to devices](memory_for_devices): buffers, what keeps them in their place, and
//!    the drivers of `virtio-drivers`.
//! 8. [Memory that comes and goes](hot_remove): taking memory out of use, bringing it back,
//!    plugging and unplugging it, drivers of memory devices, bad frames.
//! 9. [Giving memory back to the host](giving_memory_back): free pages of a virtual machine.
//! 10. [When memory is short](memory_is_short): what a request tries, and what to do when it fails.
//! 11. [Errors](errors): what each error means, and what to do about it.
//! 12. [Debugging](debugging): a request that fails, a count that is wrong, a page that leaks.
//! 13. [Recipes](recipes): buffers for devices, memory of the firmware, heaps, shared frames.
//! 14. [How we know](how_we_know): what is proved, what is tested, and what is believed.
//! 15. [Unsafe code](unsafe_code): what must be so for it to be right, and who keeps it.
//!
//! The [glossary](crate#glossary) explains each term and gives Linux's name for it.
//!
//! # Zones, pageblocks and blocks
//!
//! Physical memory is divided three times: into zones by address, into pageblocks of one size, and
//! into blocks of sizes that are powers of two.
//!
//! ```text
//!  frame       0      0x1000         0x10_0000
//!  address     0      16 MiB         4 GiB
//!              |------|--------------|--------------------
//!  zones       | DMA  | DMA32        | Normal
//!              |------|--------------|--------------------
//!              |######|####..########|##########     #####
//!                         /        \
//!                        /          \
//!              |-----------|-----------|-----------|
//!  pageblocks  |  movable  | unmovable |    CMA    |
//!              |-----------|-----------|-----------|
//!  blocks      |     9     |  8  |7 |66|     9     |
//!                                   ^^ buddies
//!
//!  #  memory     .  reserved     blank  a hole
//! ```
//!
//! - A **zone** is the memory that devices of one kind can reach. It has its own lock, counters,
//!   watermarks and free lists.
//! - A **pageblock** is 512 frames (2 MiB). A byte of its record holds its migratetype and whether
//!   it is isolated.
//! - A **block** of order *n* is 2ⁿ frames at a multiple of 2ⁿ. Two **buddies** are the halves of
//!   a block of the next order; when both are free they merge into it. The two blocks of order 6
//!   in the picture would be one block of order 7 if both were free.
//!
//! A free block is on a free list for its order and for the free kind of its pageblock: the
//! migratetype, or *isolated*. The largest order is 10, which is two pageblocks.
//!
//! # The states of a frame
//!
//! ```text
//!                     hole, reserved
//!                       |        ^
//!            add_memory |        | reserve
//!                       v        |
//!                     +------------+  isolate, test, take   +-------------+
//!               .---> |    free    | ---------------------> | contiguous, |
//!               |     |            | <--------------------- | offline     |
//!        spill, |     +------------+  free_contig, online   +-------------+
//!        drain, |       |        ^
//!        refill | alloc |        | free
//!               v       v        |
//!  +--------------+   +------------+  Migrate::migrate      +-------------+
//!  | cached on    | ->| allocated  | ---------------------> | migrating   |
//!  | a pcplist    | <-|            | <--------------------- |             |
//!  +--------------+   +------------+  refused               +-------------+
//!            alloc, free                                 moved, or freed by its
//!                                                        owner: the block is free
//! ```
//!
//! A frame can also be a guard page, which [Debugging](debugging#guard-pages) explains, a bad
//! frame that is [retired](hot_remove#bad-frames), or in a free block that is
//! [being reported](giving_memory_back) to the host.
//!
//! The state of a block is stored in the record of its first frame, the *head*; the other frames
//! of the block are *tails*. An owner gives a block up by a compare-and-exchange of this state,
//! made with access to the CPU's pcplists or with the zone locked. So of two frees of one block,
//! or of a free and a migration, one succeeds, and the other finds the new state and reports an
//! error or acts on it. In [owner-only](crate::PcpAccess::owner_only) mode a free to the CPU's own
//! list uses a load and a store instead; there, two frees of one block that overlap in time can
//! both succeed.
//!
//! # What is counted
//!
//! | a page that is | is a free page | is also counted as |
//! |---|---|---|
//! | on a free list | yes | |
//! | on a CMA free list | yes | a free CMA page |
//! | on a movable-only free list | yes | a free movable-only page |
//! | on an isolated free list | **no** | an isolated page |
//! | on a pcplist | no, and not in use | a cached page |
//! | a guard | no | a guard page |
//! | on a free list, and reported to the host | as without | a reported page |
//! | being reported to the host | **no** | a page that is being reported |
//! | allocated, or in a contiguous allocation | no | a page in use ([`allocated_count`](crate::PageAllocator::allocated_count)) |
//! | offline | no | an offline page; it is not managed |
//! | a bad frame that is retired | no | hwpoisoned; it is not managed |
//!
//! The free, isolated, guard, offline, hwpoisoned and reporting counts change in one function,
//! `Counters::account`, which runs with the zone locked wherever a block joins or leaves a list.
//! Cached pages have no counter: they are the sum of the lengths of the pcplists. (The experimental
//! feature `designs` has a second function, which corrects the free count.)
//!
//! # Invariants
//!
//! They hold for a zone whenever no CPU holds its lock or uses its pcplists.
//! [`PageAllocator::verify`](crate::PageAllocator::verify) checks all of them, and
//! [`Violation`](crate::Violation) says which one does not hold.
//!
//! | | |
//! |---|---|
//! | I1 | Every frame of memory is the head of a block or a tail of exactly one, and blocks do not overlap. |
//! | I2 | Every free block is on the list that the state of each of its pageblocks names. |
//! | I3 | Every counter equals what a walk of the lists, the frames and the pageblocks finds. |
//! | I4 | Every block on a list is in the state that the list stands for, and no list is damaged. |
//! | I5 | present = free + isolated + cached + guard + allocated + offline + hwpoisoned + reporting |
//! | I6 | Two buddies that may merge are not both free, and the buddy of a guard has a frame in use: allocated, on a pcplist, offline or being reported. |
//! | I7 | The counters that are read without a lock equal the counters under the lock. |
//! | I8 | A bad frame is retired, or in an allocated block whose head has a note of it. |
//! | I9 | With the feature `page_owner`: the head of every allocated block has the place of its allocation, and no other frame has one, except heads on pcplists. So the pages of all places add up to the allocated pages. |
//! | I10 | A block that is being reported is on a list of the batch of its zone, and there is none without a batch. A free block that is marked as reported has at least the pageblock order and is behind all others of its list. |
//! | I11 | The zone whose pcplists the fast path uses is the one that the counts of all zones choose: the highest that is not at its low mark. |
//!
//! Deferred memory, whose frame records have not been written yet, counts as free memory on the
//! list of movable blocks of the largest order.
//!
//! # Locks
//!
//! Locks are taken in this order, with interrupts masked:
//!
//! 1. the lock of one CPU's pcplists,
//! 2. the lock of one zone,
//! 3. the lock of the guard hook, which is held while [`GuardPages`](crate::GuardPages) is called,
//!    that of the trace hook likewise, that of what poison found last, or that of the choice of
//!    zones for the fast path.
//!
//! Two locks of one kind are never held together, with one exception:
//! [`audit`](crate::PageAllocator::audit) and [`verify`](crate::PageAllocator::verify) take the
//! locks of all CPUs' pcplists, in the order of the CPUs. The lock of a CMA area's bitmap is held
//! alone.
//!
//! No lock is held while the allocator calls [`Migrate`](crate::Migrate),
//! [`HotplugNotifier`](crate::HotplugNotifier),
//! [`Platform::wait_for_report`](crate::Platform::wait_for_report) or the log, so that these may
//! call the allocator. [`GuardPages`](crate::GuardPages) and [`Trace`](crate::Trace) are called
//! with a zone locked, and must not.
//!
//! # What may be called where
//!
//! | call | in interrupt handlers | locks and time |
//! |---|---|---|
//! | allocation with [`Depth::Atomic`](crate::Depth::Atomic), free | yes | a pcplist's lock, or none in owner-only mode; seldom the zone's. Before an allocation fails, the pcplists of all CPUs and the zones, a batch at a time |
//! | [`free_range`](crate::PageAllocator::free_range) | yes | as a free of each block, and the zone's lock for a split |
//! | [`free_contig`](crate::PageAllocator::free_contig) | yes | the zone's lock, once for each pageblock |
//! | counts ([`free_count`](crate::PageAllocator::free_count) and others) | yes | no lock |
//! | [`allocated_count`](crate::PageAllocator::allocated_count), [`buddyinfo`](crate::PageAllocator::buddyinfo), [`zoneinfo`](crate::PageAllocator::zoneinfo), [`meminfo`](crate::PageAllocator::meminfo), [`vmstat`](crate::PageAllocator::vmstat) | yes | each zone's lock, for about a hundred loads |
//! | [`allocated_blocks`](crate::PageAllocator::allocated_blocks), [`pageblocks`](crate::PageAllocator::pageblocks) and what is made of them | yes | the zone's lock, for a walk of at most a pageblock at a time |
//! | [`report_free_pages`](crate::PageAllocator::report_free_pages), [`ReportBatch`](crate::ReportBatch) | yes | the zone's lock, once for each block |
//! | allocation with another [`Depth`](crate::Depth) | no | may drain the pcplists of all CPUs before it fails |
//! | isolation, contiguous ranges, CMA, hot-remove, hot-add, bad frames | no | time in proportion to the range |
//! | [`audit`](crate::PageAllocator::audit), [`verify`](crate::PageAllocator::verify) | no | all locks of one zone, for the time of the walk |
//!
//! *Yes* needs a [`Platform::mask_interrupts`](crate::Platform::mask_interrupts) that masks
//! interrupts, and does not include non-maskable interrupts.
//!
//! Next: [Plugging in](plugging_in).

#[doc = include_str!("access_modes.md")]
pub mod access_modes {}

#[doc = include_str!("cma.md")]
pub mod cma {}

#[doc = include_str!("cpus_and_interrupts.md")]
pub mod cpus_and_interrupts {}

#[doc = include_str!("debugging.md")]
pub mod debugging {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("giving_memory_back.md")]
pub mod giving_memory_back {}

#[doc = include_str!("hot_remove.md")]
pub mod hot_remove {}

#[doc = include_str!("how_we_know.md")]
pub mod how_we_know {}

#[doc = include_str!("isolation_and_contiguous_memory.md")]
pub mod isolation_and_contiguous_memory {}

#[doc = include_str!("memory_for_devices.md")]
pub mod memory_for_devices {}

#[doc = include_str!("memory_is_short.md")]
pub mod memory_is_short {}

#[doc = include_str!("plugging_in.md")]
pub mod plugging_in {}

#[doc = include_str!("recipes.md")]
pub mod recipes {}

#[doc = include_str!("testing_your_platform.md")]
pub mod testing_your_platform {}

#[doc = include_str!("unsafe_code.md")]
pub mod unsafe_code {}
