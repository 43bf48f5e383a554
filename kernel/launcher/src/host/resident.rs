//! The resident memory of a process: what it really holds of the host's memory.

use std::io;
use std::path::Path;

/// The resident memory of a process, in bytes (`Rss` of `/proc/PID/smaps_rollup`).
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    read(Path::new(&format!("/proc/{pid}/smaps_rollup")))
}

fn read(file: &Path) -> io::Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"));
    let kib = kib.and_then(|number| number.trim().parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other(format!("{} has no `Rss`", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_what_it_has_written() {
        const BYTES: u64 = 64 << 20;
        let pid = std::process::id();
        let before = resident_bytes(pid).unwrap();
        let written = std::hint::black_box(vec![1_u8; BYTES as usize]);
        let while_held = resident_bytes(pid).unwrap();
        // Other tests run in this process.
        assert!(while_held > before + BYTES / 2, "{before}, then {while_held}");
        drop(written);
        assert!(resident_bytes(pid).unwrap() < while_held - BYTES / 2);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(resident_bytes(u32::MAX).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "Pss: 4 kB\n").unwrap();
        assert!(read(file.path()).unwrap_err().to_string().contains("no `Rss`"));
        std::fs::write(file.path(), "x\nRss:              4660 kB\nPss: 4 kB\n").unwrap();
        assert_eq!(read(file.path()).unwrap(), 4660 << 10);
    }
}
