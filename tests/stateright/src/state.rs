//! The frames, the gates of the CPUs' pcplists, and what each CPU is doing.

pub(crate) const CPUS: usize = 3;
/// Frame 0 is the pageblock that is isolated; frame 1 is outside.
pub(crate) const FRAMES: usize = 2;
/// The CPU that isolates, migrates and undoes.
pub(crate) const ISOLATOR: usize = 2;
/// The CPU that drains all lists now and then.
pub(crate) const DRAINER: usize = 1;

pub(crate) type Cpu = usize;
pub(crate) type Frame = usize;

/// Whether a frame is in the pageblock that is isolated.
pub(crate) const fn is_inside(frame: Frame) -> bool {
    frame == 0
}

/// The record of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Record {
    Free,
    Isolated,
    Cached(Cpu),
    Allocated(Cpu),
    /// Allocated, and being migrated.
    Pinned(Cpu),
    /// Freed by its owner while it was being migrated.
    FreedWhilePinned,
    /// The target of a migration.
    Target,
    /// Its contents have moved: nobody owns it.
    Moved,
    /// A contiguous allocation of the isolator.
    Taken,
}

/// A store that its CPU has made and other CPUs do not see yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Store {
    Inside(bool),
    Push(Frame),
    Pop(Frame),
}

/// What an owner has read so far with access to its lists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Seen {
    Nothing,
    /// Its access is not revoked.
    Access,
    /// The pageblock of the block is not isolated, too.
    NotIsolated,
    /// It must use the zone.
    MustUseZone,
    /// Its work with the lists is done.
    Done,
}

/// What a CPU is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Doing {
    Nothing,
    /// It is about to enter the gate to free a block whose slot it has read already.
    FreeWithSlot(Frame, bool),
    Free(Frame, Seen),
    Alloc(Seen),
    Spill(Seen),
    /// It has taken a block off its list, and what it remembers of the pageblock.
    Spilling(Frame, bool),
    FreeToZone(Frame),
    AllocFromZone,
    /// A drain, at this step and CPU. Whether it is that of an isolation.
    Drain(DrainStep, Cpu, bool),
    /// The pageblock is isolated and drained.
    Isolated,
    Pinned(Frame),
    /// It has a target for the block.
    Migrating(Frame, Frame),
    /// The owner has answered: whether the block has moved.
    Migrated(Frame, Frame, bool),
    /// The pageblock is a contiguous allocation, and still isolated.
    Taken,
    /// It is not isolated any more, and is about to be freed.
    GivesBack,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum DrainStep {
    Revoke,
    Barrier,
    Wait,
    Empty,
    Resume,
}

/// The state of the machine.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    pub(crate) records: [Record; FRAMES],
    /// The counter of free pages.
    pub(crate) counter: u8,
    pub(crate) isolated: bool,
    /// The frames on each pcplist, as bits.
    pub(crate) lists: [u8; CPUS],
    pub(crate) inside: [bool; CPUS],
    pub(crate) revocations: [u8; CPUS],
    pub(crate) stores: [Vec<Store>; CPUS],
    pub(crate) doing: [Doing; CPUS],
    /// Whether a list was used by two CPUs at once.
    pub(crate) clash: bool,
    /// Whether a lock hold found a record in a state that it cannot have.
    pub(crate) impossible: bool,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            records: [Record::Free; FRAMES],
            counter: FRAMES as u8,
            isolated: false,
            lists: [0; CPUS],
            inside: [false; CPUS],
            revocations: [0; CPUS],
            stores: Default::default(),
            doing: [Doing::Nothing; CPUS],
            clash: false,
            impossible: false,
        }
    }

    /// The frames on the list of a CPU, as it sees them.
    pub(crate) fn own_list(&self, cpu: Cpu) -> u8 {
        self.stores[cpu].iter().fold(self.lists[cpu], |list, store| match store {
            Store::Push(frame) => list | 1 << frame,
            Store::Pop(frame) => list & !(1 << frame),
            Store::Inside(_) => list,
        })
    }

    /// Makes the oldest store of a CPU visible.
    pub(crate) fn flush_one(&mut self, cpu: Cpu) {
        match self.stores[cpu].remove(0) {
            Store::Inside(inside) => self.inside[cpu] = inside,
            Store::Push(frame) => {
                self.lists[cpu] |= 1 << frame;
                self.records[frame] = Record::Cached(cpu);
            }
            Store::Pop(frame) => {
                self.lists[cpu] &= !(1 << frame);
                self.records[frame] = Record::Allocated(cpu);
            }
        }
    }

    pub(crate) fn flush(&mut self, cpu: Cpu) {
        while !self.stores[cpu].is_empty() {
            self.flush_one(cpu);
        }
    }

    /// Whether the isolation has drained and is not undone.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(
            self.doing[ISOLATOR],
            Doing::Isolated | Doing::Pinned(_) | Doing::Migrating(..) | Doing::Migrated(..) | Doing::Taken
        )
    }

    /// Whether a CPU has access to its lists and has not left.
    pub(crate) fn has_access(&self, cpu: Cpu) -> bool {
        use Seen::{Access, NotIsolated};
        matches!(
            self.doing[cpu],
            Doing::Free(_, Access | NotIsolated)
                | Doing::Alloc(Access)
                | Doing::Spill(Access)
                | Doing::Spilling(..)
        )
    }

    /// Whether a CPU is freeing that frame.
    pub(crate) fn is_freeing(&self, cpu: Cpu, frame: Frame) -> bool {
        matches!(
            self.doing[cpu],
            Doing::FreeWithSlot(f, _) | Doing::Free(f, _) | Doing::FreeToZone(f) if f == frame
        )
    }

    /// Returns a block to the buddy system, in one hold of the zone lock.
    pub(crate) fn return_to_zone(&mut self, frame: Frame, isolated: bool) {
        if isolated && is_inside(frame) {
            self.records[frame] = Record::Isolated;
        } else {
            self.records[frame] = Record::Free;
            self.counter += 1;
        }
    }
}
