//! The file of a guest's disk: made with known contents before a boot, and checked after it.
//!
//! What the contents are is shared with the kernel: [`pageblock_protocol::disk`].

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

use pageblock_protocol::disk::{BLOCK_BYTES, BLOCK_WORDS, DiskBlock};

/// The file of a disk. One that has no path of the user's is removed at the end.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    mib: u32,
    is_temporary: bool,
}

/// What a check of the file finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Blocks that are not what anybody wrote there.
    pub corrupted: u64,
    /// The writes of all other blocks: each block says how often it was written.
    pub writes: u64,
}

/// The file of a disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the disk {}: {error}", .path.display())]
pub struct DiskError {
    /// The path of the file.
    pub path: PathBuf,
    /// The error of the operating system.
    pub error: io::Error,
}

impl Disk {
    /// Makes an empty file of a disk of that size, at that path or else in the folder for temporary
    /// files.
    pub fn create(path: Option<&Path>, mib: u32) -> Result<Self, DiskError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let temporary = || {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            env::temp_dir().join(format!("pageblock-{}-{number}.disk", process::id()))
        };
        let is_temporary = path.is_none();
        let path = path.map_or_else(temporary, Path::to_owned);
        match File::create(&path) {
            Ok(_) => Ok(Self { path, mib, is_temporary }),
            Err(error) => Err(DiskError { path, error }),
        }
    }

    /// Writes the contents that a boot with that seed begins with.
    pub fn fill(&self, seed: u64) -> Result<(), DiskError> {
        let write = || {
            let mut file = BufWriter::with_capacity(1 << 20, File::create(&self.path)?);
            for number in 0..self.blocks() {
                let mut bytes = [0; BLOCK_BYTES];
                let words = DiskBlock { seed, number, writes: 0 }.words();
                for (place, word) in bytes.chunks_exact_mut(size_of::<u64>()).zip(words) {
                    place.copy_from_slice(&word.to_le_bytes());
                }
                file.write_all(&bytes)?;
            }
            file.flush()
        };
        write().map_err(|error| self.failed(error))
    }

    /// Reads the whole file after a boot with that seed.
    pub fn check(&self, seed: u64) -> Result<Found, DiskError> {
        let read = || {
            let mut file = BufReader::with_capacity(1 << 20, File::open(&self.path)?);
            let mut found = Found::default();
            for number in 0..self.blocks() {
                let mut bytes = [0; BLOCK_BYTES];
                file.read_exact(&mut bytes)?;
                let mut words = [0; BLOCK_WORDS];
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
                match DiskBlock::of(seed, &words).filter(|block| block.number == number) {
                    Some(block) => found.writes += block.writes,
                    None => found.corrupted += 1,
                }
            }
            Ok(found)
        };
        read().map_err(|error| self.failed(error))
    }

    /// QEMU's arguments for the file, which the device of the disk names `disk`.
    pub(crate) fn arguments(&self) -> [OsString; 2] {
        // A comma ends the path unless it is doubled. Nothing outlives a crash of the host.
        let path = self.path.to_string_lossy().replace(',', ",,");
        ["-drive".into(), format!("if=none,id=disk,format=raw,cache=unsafe,file={path}").into()]
    }

    fn blocks(&self) -> u64 {
        u64::from(self.mib) * ((1 << 20) / BLOCK_BYTES as u64)
    }

    fn failed(&self, error: io::Error) -> DiskError {
        DiskError { path: self.path.clone(), error }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom};

    use super::*;

    /// Writes at that byte of the file.
    fn write(disk: &Disk, at: u64, bytes: &[u8]) {
        let mut file = File::options().write(true).open(&disk.path).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
    }

    fn bytes_of(block: DiskBlock) -> Vec<u8> {
        block.words().flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn what_was_made_is_intact_and_every_damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::create(Some(&folder.path().join("disk")), 1).unwrap();
        disk.fill(7).unwrap();
        assert_eq!(disk.check(7).unwrap(), Found::default());
        assert_eq!(disk.check(8).unwrap().corrupted, 256, "another seed");

        // A write of the guest, to its place.
        write(&disk, 3 * 4096, &bytes_of(DiskBlock { seed: 7, number: 3, writes: 5 }));
        assert_eq!(disk.check(7).unwrap(), Found { corrupted: 0, writes: 5 });
        // One byte, a block at the place of another one, and half of a write.
        write(&disk, 100 * 4096 + 4095, b"x");
        write(&disk, 9 * 4096, &bytes_of(DiskBlock { seed: 7, number: 8, writes: 1 }));
        write(&disk, 20 * 4096, &bytes_of(DiskBlock { seed: 7, number: 20, writes: 1 })[..2048]);
        assert_eq!(disk.check(7).unwrap(), Found { corrupted: 3, writes: 5 });
        // A file that is too short.
        File::options().write(true).open(&disk.path).unwrap().set_len(4096).unwrap();
        assert!(disk.check(7).is_err());
    }

    #[test]
    fn a_temporary_file_is_removed_and_one_of_the_user_is_kept() {
        let disk = Disk::create(None, 1).unwrap();
        let path = disk.path.clone();
        assert!(path.exists());
        drop(disk);
        assert!(!path.exists());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk, the first");
        let disk = Disk::create(Some(&path), 1).unwrap();
        assert!(disk.arguments()[1].to_string_lossy().ends_with("/disk,, the first"));
        drop(disk);
        assert!(path.exists());
        let error = Disk::create(Some(Path::new("/nowhere/disk")), 1).unwrap_err();
        assert!(error.to_string().starts_with("the disk /nowhere/disk: "), "{error}");
    }
}
