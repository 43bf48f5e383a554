//! A whole DIMM that is inserted and removed.
//!
//! Its last block holds its records, and nothing else. To remove it, all other blocks go offline
//! one by one, then their records go, and then the whole DIMM is unmapped and ejected. If a block
//! stays online, the others come back online and the host is told.

use pageblock::{ContigOptions, MemoryUse, NoNotifier, Pfn, PfnRange, RemovedRecords};
use x86_64::PhysAddr;

use crate::devices::dimm_slots::Slot;
use crate::jobs::GracePeriod;
use crate::memory::allocator;
use crate::scenarios::plug::failed::Failed;
use crate::scenarios::plug::mapping::{self, NotMapped};
use crate::scenarios::plug::window::{BLOCK, Step};
use crate::space::Migration;

/// The most blocks of a DIMM: 512 MiB, whose records fit into one block.
const MAX_BLOCKS: usize = 256;

/// A DIMM that is in use.
pub(super) struct Dimm {
    slot: Slot,
    frames: PfnRange,
    /// The blocks that are offline, while it is being removed.
    offline: [bool; MAX_BLOCKS],
    /// No block from here on is tried in this pass.
    untried: usize,
    /// Its records, which are being removed.
    leaving: Option<(RemovedRecords, GracePeriod)>,
}

impl Dimm {
    /// Adds the memory of a DIMM as movable-only.
    pub(super) fn insert(slot: Slot, frames: PfnRange) -> Result<Self, Failed> {
        let blocks = frames.len() / BLOCK;
        let dimm = Self { slot, frames, offline: [false; MAX_BLOCKS], untried: blocks, leaving: None };
        let whole = frames.len().is_multiple_of(BLOCK) && frames.start().number().is_multiple_of(BLOCK);
        if !whole || !(2..=MAX_BLOCKS).contains(&blocks) {
            return Err(Failed::Size(frames));
        }
        for block in 0..blocks {
            let range = dimm.block(block);
            if mapping::map(PhysAddr::new(range.start().start_address())) == Err(NotMapped) {
                (0..block).for_each(|block| dimm.unmap(block));
                return Err(Failed::Mapping(range.start()));
            }
            mapping::touch(range);
        }
        let added = mapping::add_records(frames, dimm.block(blocks - 1))
            .map_err(|error| Failed::Records(frames.start(), error));
        match added {
            Ok(()) => {}
            Err(error) => {
                (0..blocks).for_each(|block| dimm.unmap(block));
                return Err(error);
            }
        }
        allocator().add_memory(dimm.ordinary(), MemoryUse::MovableOnly).map_err(Failed::Add)?;
        Ok(dimm)
    }

    /// The frames of the DIMM.
    pub(super) fn frames(&self) -> PfnRange {
        self.frames
    }

    /// Those of them that hold no records.
    fn ordinary(&self) -> PfnRange {
        PfnRange::with_len(self.frames.start(), self.frames.len() - BLOCK)
    }

    fn block(&self, block: usize) -> PfnRange {
        PfnRange::with_len(Pfn::new(self.frames.start().number() + block * BLOCK), BLOCK)
    }

    fn unmap(&self, block: usize) {
        mapping::unmap(PhysAddr::new(self.block(block).start().start_address()));
    }

    /// Begins another pass over the blocks that are online.
    pub(super) fn begin_pass(&mut self) {
        self.untried = self.ordinary().len() / BLOCK;
    }

    /// Takes the next block offline, or goes on to remove the DIMM. `Done`: it is ejected.
    pub(super) fn remove_step(&mut self) -> Result<Step, Failed> {
        if let Some((removed, grace)) = self.leaving.take_if(|(_, grace)| grace.is_over()) {
            mapping::reclaim(removed, &grace);
            (0..self.frames.len() / BLOCK).for_each(|block| self.unmap(block));
            self.slot.eject();
            return Ok(Step::Done);
        }
        if self.leaving.is_some() {
            return Ok(Step::Waiting);
        }
        let mut blocks = 0..self.ordinary().len() / BLOCK;
        if blocks.clone().all(|block| self.offline[block]) {
            return self.remove_records();
        }
        let Some(next) = blocks.rfind(|block| *block < self.untried && !self.offline[*block]) else {
            return Ok(Step::Exhausted);
        };
        self.untried = next;
        let range = self.block(next);
        let migrate = Migration::new();
        let gone = allocator().offline(range, &migrate, &NoNotifier, ContigOptions::default());
        let (offline, _) = gone.map_err(|error| Failed::Offline(range.start(), error))?;
        self.offline[next] = offline.range() == range;
        Ok(Step::Waiting)
    }

    fn remove_records(&mut self) -> Result<Step, Failed> {
        let start = self.frames.start();
        allocator().remove_memory(self.ordinary()).map_err(|error| Failed::Offline(start, error))?;
        match allocator().remove_records(self.frames) {
            Ok(removed) => {
                self.leaving = Some((removed, GracePeriod::begin()));
                Ok(Step::Waiting)
            }
            Err(error) => {
                // It is used on, because other records were added since.
                allocator().add_memory(self.ordinary(), MemoryUse::MovableOnly).map_err(Failed::Add)?;
                self.offline = [false; MAX_BLOCKS];
                Err(Failed::Records(start, error))
            }
        }
    }

    /// Gives up: all blocks come back online, and the host is told.
    pub(super) fn stay(&mut self) {
        for block in 0..MAX_BLOCKS {
            if core::mem::take(&mut self.offline[block]) {
                // No error is possible: the block is offline.
                let _ = allocator().online_raw(self.block(block));
            }
        }
        self.slot.refuse_to_eject();
    }
}
