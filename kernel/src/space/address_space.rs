//! An address space: map, unmap, flush, and the lock that migration takes as well.
//!
//! Spaces are in fixed slots with generations, so that an owner word stays unambiguous after its
//! space is gone. Every change of an entry is made under the lock of the slot, which is taken with
//! interrupts enabled and never from a handler. The pages themselves are accessed without the lock,
//! because an access may have to wait for a migration that holds it. Allocations are made under the
//! lock too, so that migration finds a page either mapped or freed, never in between.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{AllocError, AllocRequest, Order, Pfn};
use x86_64::instructions::tlb;

use crate::memory::{Block, allocator};
use crate::smp;
use crate::space::entry::{Entry, EntryState};
use crate::space::owner::OwnerWord;
use crate::space::pages;
use crate::space::tables::Tables;
use crate::space::vpage::VPage;
use crate::sync::Lock;

/// The most spaces that can exist at once.
pub(crate) const MAX_SPACES: usize = 160;
const _: () = assert!(MAX_SPACES <= OwnerWord::SLOTS);

static SLOTS: [Slot; MAX_SPACES] = [const { Slot::new() }; MAX_SPACES];

/// A place for a space.
#[derive(Debug)]
pub(super) struct Slot {
    state: Lock<State>,
    /// The CPUs, one bit each, that may hold translations of the space (Linux: `mm_cpumask`).
    pub(super) active: AtomicU64,
}

#[derive(Debug)]
struct State {
    generation: u16,
    tables: Option<Tables>,
}

/// Why a space could not be created or changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SpaceError {
    /// Every slot is in use.
    NoSlot,
    /// The allocator had no page.
    NoMemory(AllocError),
    /// The block does not start at a multiple of its size, or is larger than a space can map.
    Misplaced(VPage, Order),
    /// The page is already mapped.
    Occupied(VPage),
    /// The page is not mapped.
    NotMapped(VPage),
}

impl fmt::Display for SpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlot => write!(f, "all {MAX_SPACES} address spaces are in use"),
            Self::NoMemory(error) => error.fmt(f),
            Self::Misplaced(page, order) => write!(f, "a block of {order} cannot be mapped at {page:?}"),
            Self::Occupied(page) => write!(f, "{page:?} is mapped already"),
            Self::NotMapped(page) => write!(f, "{page:?} is not mapped"),
        }
    }
}

impl core::error::Error for SpaceError {}

impl From<AllocError> for SpaceError {
    fn from(error: AllocError) -> Self {
        Self::NoMemory(error)
    }
}

/// An address space. Dropping the value unmaps and frees all its pages.
#[derive(Debug)]
pub(crate) struct AddressSpace {
    index: u16,
    generation: u16,
}

impl AddressSpace {
    /// An empty space.
    pub(crate) fn new() -> Result<Self, SpaceError> {
        for (index, slot) in SLOTS.iter().enumerate() {
            let Some(mut state) = slot.state.try_lock() else { continue };
            if state.tables.is_none() {
                state.tables = Some(Tables::new()?);
                state.generation = state.generation.wrapping_add(1);
                return Ok(Self { index: index as u16, generation: state.generation });
            }
        }
        Err(SpaceError::NoSlot)
    }

    pub(super) fn slot(&self) -> &'static Slot {
        &SLOTS[usize::from(self.index)]
    }

    pub(super) fn root(&self) -> Pfn {
        self.slot().with_tables(|tables| tables.root())
    }

    /// A number that no other space has had since boot (until the generations wrap).
    pub(super) fn identity(&self) -> u64 {
        u64::from(self.index) << 16 | u64::from(self.generation)
    }

    /// Allocates a movable block of `order` and maps it at `page`. Its contents are undefined.
    pub(crate) fn map(&self, page: VPage, order: Order) -> Result<Pfn, SpaceError> {
        if order > Entry::MAX_ORDER || page.head(order) != page {
            return Err(SpaceError::Misplaced(page, order));
        }
        let owner = OwnerWord { slot: self.index, generation: self.generation, page };
        self.slot().with_tables(|tables| {
            // The entries of an aligned block of up to 2^7 pages are in one lowest-level table.
            for page in page.block(order) {
                if tables.entry_or_grow(page)?.load(Ordering::Relaxed) != 0 {
                    return Err(SpaceError::Occupied(page));
                }
            }
            let request = AllocRequest::movable().order(order).owner(owner.encode());
            let head = pages::allocate(request)?;
            for (page, pfn) in page.block(order).zip(order.block(head).iter()) {
                tables.entry_or_grow(page)?.store(Entry::mapped(pfn, order).raw(), Ordering::Release);
            }
            Ok(head)
        })
    }

    /// Maps a single movable page that the caller has allocated. The space owns it from then on.
    pub(crate) fn adopt(&self, page: VPage, frame: Block<'_>) -> Result<(), SpaceError> {
        assert_eq!(frame.order(), Order::ZERO, "a single page");
        let owner = OwnerWord { slot: self.index, generation: self.generation, page };
        self.slot().with_tables(|tables| {
            let entry = tables.entry_or_grow(page)?;
            if entry.load(Ordering::Relaxed) != 0 {
                return Err(SpaceError::Occupied(page));
            }
            let (pfn, order) = frame.into_raw();
            if let Err(error) = allocator().set_owner(pfn, order, owner.encode()) {
                panic!("mapping {pfn}: {error}");
            }
            entry.store(Entry::mapped(pfn, order).raw(), Ordering::Release);
            Ok(())
        })
    }

    /// Unmaps and frees the block that `page` belongs to. Returns its order.
    pub(crate) fn unmap(&self, page: VPage) -> Result<Order, SpaceError> {
        let slot = self.slot();
        slot.with_tables(|tables| {
            let order = lookup(tables, page)?.order();
            let first = page.head(order);
            let head = lookup(tables, first)?.pfn();
            for entry in tables.block(first, order) {
                entry.store(0, Ordering::SeqCst);
            }
            slot.flush(first, order);
            pages::free(head, order);
            Ok(order)
        })
    }

    /// The current entry of `page`.
    pub(crate) fn entry(&self, page: VPage) -> Entry {
        self.slot().with_tables(|tables| load(tables, page))
    }

    /// Increments the version of the contents of a mapped page and returns the new entry.
    pub(super) fn next_version(&self, page: VPage) -> Result<Entry, SpaceError> {
        self.slot().with_tables(|tables| {
            let next = lookup(tables, page)?.next_version();
            let entry = tables.entry(page).ok_or(SpaceError::NotMapped(page))?;
            // Only these bits are changed, so that bits set by the hardware meanwhile are kept.
            let change = Entry::from_raw(entry.load(Ordering::Relaxed)).raw() ^ next.raw();
            entry.fetch_xor(change, Ordering::Relaxed);
            Ok(next)
        })
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let slot = self.slot();
        assert_eq!(slot.active.load(Ordering::SeqCst), 0, "an active address space was dropped");
        slot.with_tables(|tables| {
            tables.for_each_block(|first, entry| {
                for entry in tables.block(first, entry.order()) {
                    entry.store(0, Ordering::SeqCst);
                }
                pages::free(entry.pfn(), entry.order());
            });
        });
        // Under the lock, so that a concurrent migration finds either the whole tables or none.
        slot.state.lock().tables = None;
    }
}

/// The bit of this CPU in sets of CPUs.
pub(super) fn cpu_bit() -> u64 {
    1 << smp::current().number()
}

impl Slot {
    const fn new() -> Self {
        Self { state: Lock::new(State { generation: 0, tables: None }), active: AtomicU64::new(0) }
    }

    fn with_tables<R>(&self, f: impl FnOnce(&mut Tables) -> R) -> R {
        let mut state = self.state.lock();
        let tables = state.tables.as_mut().expect("the slot of an owned space has tables");
        f(tables)
    }

    /// Calls `f` with the tables of the space that `owner` names, if that space still exists.
    pub(super) fn with_owner<R>(owner: OwnerWord, f: impl FnOnce(&Self, &mut Tables) -> R) -> Option<R> {
        let slot = SLOTS.get(usize::from(owner.slot))?;
        let mut state = slot.state.lock();
        if state.generation != owner.generation {
            return None;
        }
        state.tables.as_mut().map(|tables| f(slot, tables))
    }

    /// Turns all migration entries of the space in slot `index` into mapped ones. This is correct
    /// for any space: the slot may have been reused since, and entries may have been cleared.
    pub(super) fn remove_migration_entries(index: usize) {
        if let Some(tables) = &SLOTS[index].state.lock().tables {
            tables.for_each_block(|first, entry| {
                if entry.state() == EntryState::Migrating {
                    for entry in tables.block(first, entry.order()) {
                        entry.fetch_or(Entry::PRESENT, Ordering::Release);
                    }
                }
            });
        }
    }

    /// Whether another CPU may have translations of this space. It must be called after entries
    /// have changed, or under the lock before they change.
    ///
    /// A CPU that activates the space later sets its bit before it loads the root, and so sees the
    /// new entries. A CPU whose bit is set has to be flushed.
    pub(super) fn is_active_elsewhere(&self) -> bool {
        self.active.load(Ordering::SeqCst) & !cpu_bit() != 0
    }

    /// Flushes this CPU's translations of the block at `first`.
    pub(super) fn flush_here(&self, first: VPage, order: Order) {
        if self.active.load(Ordering::SeqCst) & cpu_bit() != 0 {
            for page in first.block(order) {
                tlb::flush(page.address());
            }
        }
    }

    /// Flushes the translations of the block at `first` on all CPUs, after a change of entries.
    fn flush(&self, first: VPage, order: Order) {
        if self.is_active_elsewhere() {
            smp::shootdown::flush(first.address(), order.pages() as u64);
        } else {
            self.flush_here(first, order);
        }
    }
}

fn load(tables: &Tables, page: VPage) -> Entry {
    let raw = tables.entry(page).map_or(0, |entry| entry.load(Ordering::Acquire));
    Entry::from_raw(raw)
}

fn lookup(tables: &Tables, page: VPage) -> Result<Entry, SpaceError> {
    match load(tables, page) {
        Entry::EMPTY => Err(SpaceError::NotMapped(page)),
        entry => Ok(entry),
    }
}
