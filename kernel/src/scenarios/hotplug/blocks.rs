//! The machine's memory in blocks, and what became of each.
//!
//! A block that holds memory of no zone or of two, or frames that the allocator does not manage (the
//! kernel's own tables, say), can never go offline and stays out of it. Of the others, the ones with
//! the fewest pages in the way go first, as a dry run finds them.

use core::fmt::{self, Write};

use heapless::{String, Vec};
use pageblock::{ContigError, HotplugError, IsolateError, NotFree, OfflineRange, Pfn, PfnRange};
use pageblock_protocol::{Line, Value};

use crate::memory::allocator;
use crate::report;

/// The most blocks that a machine can have: 16 GiB in blocks of 128 MiB.
const BLOCKS: usize = 128;

/// Something short to say, as one word.
type Word = String<80>;

/// A block of memory.
pub(super) struct Block {
    pub(super) range: PfnRange,
    /// Why it never goes offline.
    kept: Option<HotplugError>,
    /// Proof that it is offline now.
    pub(super) offline: Option<OfflineRange>,
    /// Whether it was tried in this pass.
    pub(super) tried: bool,
    /// Whether it has failed in this round.
    pub(super) failed: bool,
    pub(super) offlined: u32,
    pub(super) onlined: u32,
    pub(super) pages_moved: usize,
    pub(super) failures: u32,
    /// Attempts after a failure in the same round.
    pub(super) retries: u32,
    /// What was in the way last.
    last_error: Option<HotplugError>,
}

/// All blocks, in ascending order.
pub(super) struct Blocks(Vec<Block, BLOCKS>);

impl Block {
    fn new(range: PfnRange) -> Self {
        Self {
            range,
            kept: allocator().offline_dry_run(range, |_| ()).err(),
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
        self.kept.is_none()
    }

    /// Frames that would be in the way of taking it offline now.
    fn obstacles(&self) -> usize {
        let mut obstacles = 0;
        // An error would have kept the block.
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
        let in_the_way = self.kept.as_ref().or(self.last_error.as_ref());
        let reason = in_the_way.map_or_else(|| word(format_args!("-")), reason);
        report::line(Line::Row(&name));
        for (key, value) in [
            ("offlined", Value::Integer(self.offlined.into())),
            ("onlined", Value::Integer(self.onlined.into())),
            ("pages_moved", Value::Integer(self.pages_moved as i64)),
            ("failures", Value::Integer(self.failures.into())),
            ("retries", Value::Integer(self.retries.into())),
            ("last_in_the_way", Value::Word(&reason)),
        ] {
            report::line(Line::Cell { key, value });
        }
    }
}

impl Blocks {
    /// The memory that the allocator spans, in blocks of so many pages.
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

    /// Pages that are offline.
    pub(super) fn offline_pages(&self) -> usize {
        self.iter().filter_map(|block| block.offline.as_ref()).map(|offline| offline.range().len()).sum()
    }

    /// The block to take offline next: the fewest obstacles, and of these the one that was offline the
    /// fewest times.
    pub(super) fn next_to_go(&mut self) -> Option<&mut Block> {
        self.iter_mut()
            .filter(|block| block.is_removable() && block.offline.is_none() && !block.tried)
            .min_by_key(|block| (block.obstacles(), block.offlined))
    }

    /// A row for each.
    pub(super) fn report(&self) {
        self.iter().for_each(Block::report);
    }
}

fn word(text: fmt::Arguments<'_>) -> Word {
    let mut long = String::<200>::new();
    // An error says that it is cut off.
    let _ = long.write_fmt(text);
    long.chars().map(|c| if c == ' ' { '_' } else { c }).take(Word::new().capacity()).collect()
}

/// The frame that is in the way, and why it is.
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
