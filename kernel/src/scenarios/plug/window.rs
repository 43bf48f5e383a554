//! The window of the memory device: which blocks are plugged, and in which order they come and go.
//!
//! The window consists of sections of 128 MiB, as the sections of `SPARSEMEM` in Linux. The last
//! block of a section holds the records of the section, and nothing else: it is the first one that
//! is plugged, and the last one that is unplugged. So a section that has no block costs nothing,
//! and all of the window can be unplugged. Records are removed in the reverse order in which they
//! were made. So blocks are plugged from the bottom up, and unplugged from the top down, and the
//! record block of a section stays as long as a higher section has one.
//!
//! A block that is not plugged is not in the direct map: an access to it is a page fault.

use pageblock::{ContigOptions, MemoryUse, NoNotifier, Pfn, PfnRange, RemovedRecords};
use x86_64::PhysAddr;

use crate::devices::memory_device::{Config, MemoryDevice, State};
use crate::jobs::GracePeriod;
use crate::memory::allocator;
use crate::scenarios::plug::failed::Failed;
use crate::scenarios::plug::mapping::{self, NotMapped};
use crate::space::Migration;

/// The pages of a block of the device: a pageblock, and a page of the direct map.
pub(super) const BLOCK: usize = 512;
/// The same in MiB.
pub(super) const BLOCK_MIB: u64 = 2;
/// The blocks of a section.
const SECTION: usize = 64;
/// The most blocks of a window: 16 GiB.
const MAX_BLOCKS: usize = 8192;

/// What a step has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// A block was plugged or unplugged.
    Done,
    /// The records of a section are being removed, or nothing was left to do.
    Waiting,
    /// No block can be plugged or unplugged: all were tried.
    Exhausted,
}

/// The window.
pub(super) struct Window {
    device: MemoryDevice,
    start: Pfn,
    blocks: usize,
    plugged: [u64; MAX_BLOCKS / 64],
    /// The sections that have records: so many from the bottom.
    recorded: usize,
    /// The records of the section above these, which are being removed.
    leaving: Option<(RemovedRecords, GracePeriod)>,
    /// No block from here on is tried in this pass.
    untried: usize,
}

impl Window {
    /// The window of that device, without any block. `Err` says what this kernel cannot handle.
    pub(super) fn new(device: MemoryDevice, config: &Config) -> Result<Self, &'static str> {
        let block_bytes = (BLOCK as u64) << 12;
        let start = Pfn::containing(config.start);
        if config.block != block_bytes {
            return Err("the blocks of the memory device are not of 2 MiB");
        }
        let blocks = (config.size / block_bytes) as usize;
        if !start.number().is_multiple_of(SECTION * BLOCK) || !blocks.is_multiple_of(SECTION) || blocks == 0 {
            return Err("the window of the memory device does not consist of sections of 128 MiB");
        }
        if blocks > MAX_BLOCKS {
            return Err("the window of the memory device is larger than 16 GiB");
        }
        let plugged = [0; MAX_BLOCKS / 64];
        Ok(Self { device, start, blocks, plugged, recorded: 0, leaving: None, untried: blocks })
    }

    /// The device.
    pub(super) fn device(&self) -> &MemoryDevice {
        &self.device
    }

    /// The blocks that are plugged.
    pub(super) fn plugged(&self) -> usize {
        self.plugged.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The blocks that hold records: all that are plugged and that the allocator does not manage.
    pub(super) fn record_blocks(&self) -> usize {
        self.recorded + usize::from(self.leaving.is_some())
    }

    /// The frames of the window.
    pub(super) fn frames(&self) -> PfnRange {
        PfnRange::with_len(self.start, self.blocks * BLOCK)
    }

    /// Begins another pass, in which each block is tried once.
    pub(super) fn begin_pass(&mut self) {
        self.untried = self.blocks;
    }

    fn is_plugged(&self, block: usize) -> bool {
        self.plugged[block / 64] & (1 << (block % 64)) != 0
    }

    fn set_plugged(&mut self, block: usize, is: bool) {
        let (word, bit) = (&mut self.plugged[block / 64], 1 << (block % 64));
        *word = if is { *word | bit } else { *word & !bit };
    }

    fn range(&self, block: usize) -> PfnRange {
        PfnRange::with_len(Pfn::new(self.start.number() + block * BLOCK), BLOCK)
    }

    fn section(&self, section: usize) -> PfnRange {
        let first = self.range(section * SECTION).start();
        PfnRange::with_len(first, SECTION * BLOCK)
    }

    /// Plugs the lowest block that is not plugged.
    pub(super) fn plug_one(&mut self) -> Result<Step, Failed> {
        if self.leaving.is_some() {
            return self.finish_leaving();
        }
        let next = (0..self.blocks).find(|block| !self.is_plugged(*block));
        let Some(next) = next else { return Ok(Step::Exhausted) };
        if next / SECTION == self.recorded {
            return self.plug_records();
        }
        let range = self.range(next);
        self.plug_and_map(next)?;
        if let Err(error) = allocator().add_memory(range, MemoryUse::MovableOnly) {
            self.unmap_and_unplug(next)?;
            return Err(Failed::Add(error));
        }
        Ok(Step::Done)
    }

    /// Plugs the record block of the lowest section that has none, and makes the records there.
    fn plug_records(&mut self) -> Result<Step, Failed> {
        let block = (self.recorded + 1) * SECTION - 1;
        self.plug_and_map(block)?;
        match mapping::add_records(self.section(self.recorded), self.range(block)) {
            Ok(()) => {
                self.recorded += 1;
                Ok(Step::Done)
            }
            Err(error) => {
                self.unmap_and_unplug(block)?;
                Err(Failed::Records(self.range(block).start(), error))
            }
        }
    }

    /// Unplugs the highest block of those that were not tried in this pass, if its pages can
    /// migrate.
    pub(super) fn unplug_one(&mut self) -> Result<Step, Failed> {
        if self.leaving.is_some() {
            return self.finish_leaving();
        }
        if let Some(top) = self.recorded.checked_sub(1)
            && !self.ordinary(top).any(|block| self.is_plugged(block))
        {
            return self.remove_records(top);
        }
        let mut candidates = (0..self.recorded).rev().flat_map(|section| self.ordinary(section).rev());
        let next = candidates.find(|block| *block < self.untried && self.is_plugged(*block));
        let Some(next) = next else { return Ok(Step::Exhausted) };
        self.untried = next;
        let range = self.range(next);
        let migrate = Migration::new();
        let gone = allocator().offline(range, &migrate, &NoNotifier, ContigOptions::default());
        drop(migrate);
        let (offline, _) = gone.map_err(|error| Failed::Offline(range.start(), error))?;
        let removed = allocator().remove_memory(offline.range());
        removed.map_err(|error| Failed::Offline(range.start(), error))?;
        self.unmap_and_unplug(next)?;
        Ok(Step::Done)
    }

    /// The blocks of a section that hold no records.
    fn ordinary(&self, section: usize) -> core::ops::Range<usize> {
        section * SECTION..(section + 1) * SECTION - 1
    }

    /// Begins to remove the records of the highest section that has some.
    fn remove_records(&mut self, section: usize) -> Result<Step, Failed> {
        let range = self.section(section);
        match allocator().remove_records(range) {
            Ok(removed) => {
                self.recorded = section;
                self.leaving = Some((removed, GracePeriod::begin()));
                Ok(Step::Waiting)
            }
            Err(error) => Err(Failed::Records(range.start(), error)),
        }
    }

    /// Unplugs the block that the removed records were in, when no call reads them any more.
    fn finish_leaving(&mut self) -> Result<Step, Failed> {
        let Some((removed, grace)) = self.leaving.take_if(|(_, grace)| grace.is_over()) else {
            return Ok(Step::Waiting);
        };
        mapping::reclaim(removed, &grace);
        self.unmap_and_unplug((self.recorded + 1) * SECTION - 1)?;
        Ok(Step::Done)
    }

    /// Asks the device for the state of one block in sixteen, of those that it allows to be
    /// plugged. Returns the first one of which it has another state.
    pub(super) fn ask_the_device(&mut self, which: usize, config: &Config) -> Result<(), Pfn> {
        let usable = (config.usable / config.block) as usize;
        for block in (which % 16..usable.min(self.blocks)).step_by(16) {
            let expected = if self.is_plugged(block) { State::Plugged } else { State::Unplugged };
            let start = self.range(block).start();
            match self.device.state(start, 1) {
                Ok(state) if state == expected => {}
                _ => return Err(start),
            }
        }
        Ok(())
    }

    fn plug_and_map(&mut self, block: usize) -> Result<(), Failed> {
        let range = self.range(block);
        self.device.plug(range.start(), 1).map_err(|error| Failed::Device(range.start(), error))?;
        if mapping::map(PhysAddr::new(range.start().start_address())) == Err(NotMapped) {
            self.device.unplug(range.start(), 1).map_err(|error| Failed::Device(range.start(), error))?;
            return Err(Failed::Mapping(range.start()));
        }
        mapping::touch(range);
        self.set_plugged(block, true);
        Ok(())
    }

    fn unmap_and_unplug(&mut self, block: usize) -> Result<(), Failed> {
        let range = self.range(block);
        mapping::unmap(PhysAddr::new(range.start().start_address()));
        self.set_plugged(block, false);
        self.device.unplug(range.start(), 1).map_err(|error| Failed::Device(range.start(), error))
    }
}
