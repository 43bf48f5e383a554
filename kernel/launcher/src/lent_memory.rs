//! Memory that the host lends to a guest: it changes the size of the guest's memory device while the
//! guest runs, and compares what the guest has with what QEMU says.
//!
//! After each change the guest reports what is plugged ([`Line::Resized`]). The size that QEMU has,
//! the size that the guest has, and the pages that its allocator manages must be the same. The resident
//! memory of QEMU must fall by what was unplugged.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use pageblock_protocol::{BootConfig, Line, stat};

use crate::guest::boot::Listener;
use crate::guest::transcript::Transcript;
use crate::host::resident::resident_bytes;
use crate::qemu::device::{Device, NoDevice};
use crate::qemu::emulator::Qemu;
use crate::qemu::monitor::Monitor;

/// The name of the device in QEMU.
const DEVICE: &str = "lent";
/// QEMU's name for a memory device.
const KIND: &str = "virtio-mem-pci";
/// The size of a block of the device, in MiB.
pub(crate) const BLOCK_MIB: u32 = 2;
/// What the guest divides the window into, in MiB.
pub(crate) const SECTION_MIB: u32 = 128;
/// The address space that QEMU keeps for memory devices, beside that of memory, in MiB.
const ADDRESSES_MIB: u32 = 64 << 10;
/// A smaller change is not looked for in the resident memory, in MiB.
const LEAST_CHANGE_MIB: u64 = 32;
/// What QEMU may need for itself from one size to the next, in MiB.
const OF_QEMU_MIB: u64 = 16;

/// A memory device of the guest.
#[derive(Debug)]
pub struct LentMemory {
    window_mib: u32,
    monitor: PathBuf,
}

impl LentMemory {
    /// A device with a window of that size, nothing of which is plugged.
    pub fn new(window_mib: u32) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let monitor = env::temp_dir().join(format!("pageblock-{}-{number}.lent", process::id()));
        Self { window_mib, monitor }
    }

    /// Checks that the emulator has such a device.
    pub fn check(qemu: &Qemu) -> Result<(), NoDevice> {
        qemu.check(&[Device { name: KIND, properties: "", before: &[] }])
    }

    /// QEMU's arguments for the device, and for the monitor over which its size changes.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let Self { window_mib, monitor } = self;
        [
            "-m".to_owned(),
            format!("maxmem={ADDRESSES_MIB}M"),
            "-object".to_owned(),
            format!("memory-backend-ram,id=window,size={window_mib}M"),
            "-device".to_owned(),
            format!(
                "{KIND},id={DEVICE},memdev=window,requested-size=0,block-size={BLOCK_MIB}M,event_idx=off"
            ),
            "-qmp".to_owned(),
            format!("unix:{},server=on,wait=off", monitor.display()),
        ]
        .map(OsString::from)
        .into()
    }

    /// Lends memory to the guest of a boot, and passes on what it says.
    pub(crate) fn lender<'l>(
        &self,
        config: &BootConfig<'_>,
        listener: &'l mut dyn Listener,
    ) -> Lender<'l, OfQemu> {
        Lender::new(OfQemu { socket: self.monitor.clone(), monitor: None, pid: None }, config, listener)
    }
}

impl Drop for LentMemory {
    fn drop(&mut self) {
        // It is gone already if QEMU ended by itself.
        let _ = fs::remove_file(&self.monitor);
    }
}

/// The sizes that are requested one after the other, in MiB: all of it, nothing, sizes at random, and
/// nothing in the end. No two that follow each other are equal, because the guest could not tell.
struct Sizes {
    state: u64,
    most: u32,
    number: u32,
    last: u32,
}

impl Sizes {
    /// `number` is at least 2, and `most` at least four blocks.
    fn new(seed: u64, most: u32, number: u32) -> Self {
        Self { state: seed, most, number, last: 0 }
    }

    /// The size to request as the one of that number, from 1 on.
    fn next(&mut self, number: u32) -> u32 {
        let size = match number {
            1 => self.most,
            2 => 0,
            _ if number == self.number => 0,
            _ => self.random(number + 1 == self.number),
        };
        self.last = size;
        size
    }

    fn random(&mut self, before_the_end: bool) -> u32 {
        loop {
            // SplitMix64.
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut value = self.state;
            value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            value ^= value >> 31;
            let blocks = u64::from(self.most / BLOCK_MIB) + 1;
            let size = (value % blocks) as u32 * BLOCK_MIB;
            if size != self.last && !(before_the_end && size == 0) {
                return size;
            }
        }
    }
}

/// What lends the memory.
pub(crate) trait Source {
    /// The guest runs, in the process with that id.
    fn started(&mut self, pid: u32);
    /// Requests that so many bytes be plugged.
    fn request(&mut self, bytes: u64) -> io::Result<()>;
    /// The bytes that are plugged.
    fn size(&mut self) -> io::Result<u64>;
    /// The resident memory of the guest, in bytes.
    fn resident(&mut self) -> io::Result<u64>;
}

/// QEMU's memory device.
pub(crate) struct OfQemu {
    socket: PathBuf,
    monitor: Option<Monitor>,
    pid: Option<u32>,
}

impl OfQemu {
    fn monitor(&mut self) -> io::Result<&mut Monitor> {
        let monitor = match self.monitor.take() {
            Some(monitor) => monitor,
            None => connect(&self.socket)?,
        };
        Ok(self.monitor.insert(monitor))
    }
}

fn connect(socket: &Path) -> io::Result<Monitor> {
    Monitor::connect(socket)
}

impl Source for OfQemu {
    fn started(&mut self, pid: u32) {
        self.pid = Some(pid);
    }

    fn request(&mut self, bytes: u64) -> io::Result<()> {
        self.monitor()?.set_property(DEVICE, "requested-size", bytes)
    }

    fn size(&mut self) -> io::Result<u64> {
        self.monitor()?.property(DEVICE, "size")
    }

    fn resident(&mut self) -> io::Result<u64> {
        resident_bytes(self.pid.ok_or(io::ErrorKind::NotFound)?)
    }
}

/// Requests one size after the other, each some time after the guest has followed the one before.
pub(crate) struct Lender<'l, S> {
    source: S,
    listener: &'l mut dyn Listener,
    sizes: Sizes,
    resizes: u32,
    interval: Duration,
    /// The number of the next size, and when it is due.
    next: Option<(u32, Instant)>,
    /// What was plugged and what was resident after the last size, in MiB.
    last: Option<(u64, u64)>,
    found: Found,
}

/// What the host finds.
#[derive(Debug, Default)]
struct Found {
    compared: u32,
    before: Option<u64>,
    peak: u64,
    after: Option<u64>,
    broken: Vec<String>,
}

impl<'l, S: Source> Lender<'l, S> {
    fn new(source: S, config: &BootConfig<'_>, listener: &'l mut dyn Listener) -> Self {
        Self {
            source,
            listener,
            sizes: Sizes::new(config.seed, config.chunk_mib, config.cycles),
            resizes: config.cycles,
            interval: Duration::from_millis(config.interval_ms.into()),
            next: None,
            last: None,
            found: Found::default(),
        }
    }

    /// Compares what the guest has with what QEMU says, and measures.
    fn compare(&mut self, guest: &Resized) -> io::Result<()> {
        let size = self.source.size()?;
        let managed = (guest.managed_pages + guest.record_pages) << 12;
        if size != guest.plugged_mib << 20 || size != managed {
            self.found.broken.push(format!(
                "after resize {}: QEMU has plugged {size} bytes, the guest says {} MiB, and its allocator \
                 manages {} pages beside {} for records",
                guest.number, guest.plugged_mib, guest.managed_pages, guest.record_pages
            ));
        }
        self.found.compared += u32::from(guest.number > 0);
        let resident = self.source.resident()? >> 20;
        self.found.peak = self.found.peak.max(resident);
        self.found.before.get_or_insert(resident);
        if guest.plugged_mib == 0 && guest.number > 0 {
            self.found.after = Some(resident);
        }
        if let Some((plugged, before)) = self.last.replace((guest.plugged_mib, resident)) {
            let unplugged = plugged.saturating_sub(guest.plugged_mib);
            let expected = unplugged.saturating_sub(OF_QEMU_MIB + unplugged / 16);
            if unplugged >= LEAST_CHANGE_MIB && resident + expected > before {
                self.found.broken.push(format!(
                    "after resize {}: {unplugged} MiB were unplugged, and the resident memory of QEMU went from \
                     {before} to {resident} MiB",
                    guest.number
                ));
            }
        }
        Ok(())
    }

    /// Handles a failure of the source: no other size is requested then.
    fn check(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.next = None;
            self.found.broken.push(format!("the memory device of QEMU: {error}"));
        }
    }

    /// Adds what was found to what the guest has reported.
    pub(crate) fn finish(self, transcript: &mut Transcript) {
        let Found { compared, before, peak, after, broken } = self.found;
        let mib = |mib: u64| i64::try_from(mib).unwrap_or(i64::MAX);
        transcript.set_stat(stat::SIZES_COMPARED, compared.into());
        if let Some(before) = before {
            transcript.set_stat(stat::RESIDENT_MIB_BEFORE, mib(before));
            transcript.set_stat(stat::RESIDENT_MIB_PEAK, mib(peak));
        }
        if let Some(after) = after {
            transcript.set_stat(stat::RESIDENT_MIB_AFTER_UNPLUG, mib(after));
        }
        transcript.broken.extend(broken);
        if transcript.done.is_some() && compared != self.resizes {
            let resizes = self.resizes;
            transcript.broken.push(format!("the host has compared {compared} of {resizes} sizes"));
        }
    }
}

/// The fields of [`Line::Resized`].
struct Resized {
    number: u32,
    plugged_mib: u64,
    managed_pages: u64,
    record_pages: u64,
}

impl<S: Source> Listener for Lender<'_, S> {
    fn started(&mut self, pid: u32) {
        self.source.started(pid);
        self.listener.started(pid);
    }

    fn receive(&mut self, raw: &str, line: Option<&Line<'_>>) {
        if let Some(&Line::Resized { number, plugged_mib, managed_pages, record_pages }) = line {
            let result = self.compare(&Resized { number, plugged_mib, managed_pages, record_pages });
            self.next = (number < self.resizes).then(|| (number + 1, Instant::now() + self.interval));
            self.check(result);
        }
        self.listener.receive(raw, line);
    }

    fn tick(&mut self) {
        if let Some((number, due)) = self.next
            && Instant::now() >= due
        {
            self.next = None;
            let size = u64::from(self.sizes.next(number));
            let result = self.source.request(size << 20);
            self.check(result);
        }
        self.listener.tick();
    }
}

#[cfg(test)]
mod tests;
