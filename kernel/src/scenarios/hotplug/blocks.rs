//! The memory blocks: which ones can go offline, and the results of each.
//!
//! A block that holds memory of no zone or of two, or frames that the allocator does not manage
//! (for example its own metadata), can never go offline. Of the others, the blocks with the fewest
//! obstacles go first, as a dry run finds them.

use core::fmt::{self, Write};

use heapless::{String, Vec};
use pageblock::{ContigError, HotplugError, IsolateError, NotFree, OfflineRange, Pfn, PfnRange};
use pageblock_protocol::Value;

use crate::memory::allocator;
use crate::report;

/// The most blocks: 16 GiB in blocks of 128 MiB.
const BLOCKS: usize = 128;

/// A short text without spaces, for a field of a row.
type Word = String<80>;

/// A memory block.
pub(super) struct Block {
    pub(super) range: PfnRange,
    /// Why the block can never go offline; `None` if it can.
    not_removable: Option<HotplugError>,
    /// The proof that the block is offline; `None` if it is online.
    pub(super) offline: Option<OfflineRange>,
    /// Whether the block was tried in this pass.
    pub(super) tried: bool,
    /// Whether the block has failed in this round.
    pub(super) failed: bool,
    pub(super) offlined: u32,
    pub(super) onlined: u32,
    pub(super) pages_moved: usize,
    pub(super) failures: u32,
    /// Attempts after a failure in the same round.
    pub(super) retries: u32,
    /// The error of the last failure.
    last_error: Option<HotplugError>,
}

/// All blocks, in ascending order.
pub(super) struct Blocks(Vec<Block, BLOCKS>);

impl Block {
    fn new(range: PfnRange) -> Self {
        Self {
            range,
            not_removable: allocator().offline_dry_run(range, |_| ()).err(),
            offline: None,
            tried: false,
            failed: false,
            offlined: 0,
            onlined: 0,
            pages_moved: 0,
            failures: 0,
            retries: 0,
            last_error: None,
        }
    }

    pub(super) fn is_removable(&self) -> bool {
        self.not_removable.is_none()
    }

    /// The number of frames that prevent the block from going offline now.
    fn obstacles(&self) -> usize {
        let mut obstacles = 0;
        // No error is possible: a removable block has passed the same checks before.
        let _ = allocator().offline_dry_run(self.range, |_: NotFree| obstacles += 1);
        obstacles
    }

    pub(super) fn fail(&mut self, error: HotplugError) {
        self.failed = true;
        self.failures += 1;
        self.last_error = Some(error);
    }

    fn report(&self) {
        let mib = |pfn: Pfn| pfn.start_address() >> 20;
        let name = word(format_args!("{}..{}", mib(self.range.start()), mib(self.range.end())));
        let error = self.not_removable.as_ref().or(self.last_error.as_ref());
        let reason = error.map_or_else(|| word(format_args!("-")), reason);
        report::row(
            &name,
            [
                ("offlined", Value::Integer(self.offlined.into())),
                ("onlined", Value::Integer(self.onlined.into())),
                ("pages_moved", Value::Integer(self.pages_moved as i64)),
                ("failures", Value::Integer(self.failures.into())),
                ("retries", Value::Integer(self.retries.into())),
                ("last_in_the_way", Value::Word(&reason)),
            ],
        );
    }
}

impl Blocks {
    /// Divides the memory that the allocator spans into blocks of `pages` pages.
    pub(super) fn new(pages: usize) -> Self {
        let span = allocator().span();
        let starts = (0..span.end().number()).step_by(pages);
        let ranges = starts.map(|start| PfnRange::with_len(Pfn::new(start), pages));
        Self(ranges.take(BLOCKS).map(Block::new).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Block> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Block> {
        self.0.iter_mut()
    }

    /// The number of pages that are offline.
    pub(super) fn offline_pages(&self) -> usize {
        self.iter().filter_map(|block| block.offline.as_ref()).map(|offline| offline.range().len()).sum()
    }

    /// The block with the fewest obstacles, and among these with the fewest times offline.
    pub(super) fn next_to_offline(&mut self) -> Option<&mut Block> {
        self.iter_mut()
            .filter(|block| block.is_removable() && block.offline.is_none() && !block.tried)
            .min_by_key(|block| (block.obstacles(), block.offlined))
    }

    /// Reports a row for each block.
    pub(super) fn report(&self) {
        self.iter().for_each(Block::report);
    }
}

fn word(text: fmt::Arguments<'_>) -> Word {
    let mut long = String::<200>::new();
    // An error means that the text was truncated.
    let _ = long.write_fmt(text);
    long.chars().map(|c| if c == ' ' { '_' } else { c }).take(Word::new().capacity()).collect()
}

/// The frame that prevents the block from going offline, and the reason.
fn reason(error: &HotplugError) -> Word {
    match error {
        HotplugError::Contig(
            ContigError::Isolate(IsolateError::Unmovable { pfn, reason })
            | ContigError::Busy { pfn, reason, .. },
        ) => word(format_args!("{pfn}: {reason}")),
        HotplugError::Contig(ContigError::NoMemory { pfn, .. }) => {
            word(format_args!("{pfn}: nowhere to move to"))
        }
        error => word(format_args!("{error}")),
    }
}
