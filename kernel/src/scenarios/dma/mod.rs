//! Buffers for a device: a disk reads and writes memory that was allocated for it.

use pageblock_protocol::disk::{BLOCK_BYTES, BLOCK_WORDS, DiskBlock};
use pageblock_protocol::{BootConfig, Verdict, stat};

use crate::devices::disk;
use crate::report;
use crate::scenarios::verdict::{Judge, Refused, refuse};

/// Runs the scenario.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let mut disk = disk::open().map_err(|error| refuse(format_args!("{error}")))?;
    let blocks = disk.capacity() / (BLOCK_BYTES / 512) as u64;
    let mut bytes = [0; BLOCK_BYTES];
    let mut judge = Judge::new();
    let mut corrupted = 0;
    if let Err(error) = disk.read_blocks(0, &mut bytes) {
        judge.broken(format_args!("reading block 0 of {blocks}: {error}"));
    }
    let mut words = [0; BLOCK_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let expected = DiskBlock { seed: config.seed, number: 0, writes: 0 };
    if DiskBlock::of(config.seed, &words) != Some(expected) {
        corrupted = 1;
        judge.broken(format_args!("block 0 of the disk is not what it should be"));
    }
    report::stats([
        (stat::REQUESTS, 1),
        (stat::BYTES, BLOCK_BYTES as u64),
        (stat::DISK_BLOCKS_WRITTEN, 0),
        (stat::DISK_CORRUPTED, corrupted),
    ]);
    judge.check_memory();
    Ok(judge.verdict())
}
