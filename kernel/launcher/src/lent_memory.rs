//! Memory that the host lends to a guest: it changes the size of the guest's memory device while
//! the guest runs, and compares what the guest has with what QEMU says.
//!
//! In the end it inserts whole DIMMs and removes them, and asks once for one that the guest must
//! keep. After each change the guest reports what is
//! plugged ([`Line::Resized`]). The size that QEMU has, the size that the guest has, and the pages
//! that its allocator manages must be the same. The resident memory of QEMU must fall by what was
//! unplugged.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use pageblock_protocol::config::{DIMM_CHANGES, DimmChange};
use pageblock_protocol::{BootConfig, Line, stat};
use serde_json::json;

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
/// QEMU's name for a DIMM.
const DIMM: &str = "pc-dimm";
/// What a guest that does not eject a DIMM reports with the method `_OST` of ACPI: a request to
/// eject, and that the device is in use by other code.
const REFUSED: (u64, u64) = (3, 0x81);
/// The size of a DIMM, in MiB.
const DIMM_MIB: u64 = 128;
/// The size of a block of the device, in MiB.
pub(crate) const BLOCK_MIB: u32 = 2;
/// What the guest divides the window into, in MiB.
pub(crate) const SECTION_MIB: u32 = 128;
/// The address space that QEMU keeps for memory devices, beside that of memory, in MiB.
const ADDRESSES_MIB: u32 = 64 << 10;
/// A smaller change is not looked for in the resident memory, in MiB.
const LEAST_CHANGE_MIB: u64 = 32;
/// How long QEMU may take to give the memory of a DIMM back: it waits for a grace period of its
/// own.
const GIVE_BACK: Duration = Duration::from_secs(5);
/// The time from one look at the resident memory to the next.
const LOOK: Duration = Duration::from_millis(20);
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

    /// Checks that the emulator has such a device, and DIMMs.
    pub fn check(qemu: &Qemu) -> Result<(), NoDevice> {
        qemu.check(&[KIND, DIMM].map(|name| Device { name, properties: "", before: &[] }))
    }

    /// QEMU's arguments for the device, and for the monitor over which its size changes.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let Self { window_mib, monitor } = self;
        [
            "-m".to_owned(),
            format!("slots=1,maxmem={ADDRESSES_MIB}M"),
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

/// The sizes that are requested one after the other, in MiB: all of it, nothing, sizes at random,
/// and nothing in the end. No two that follow each other are equal, because the guest could not
/// tell.
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
            _ if number == self.number => 0,
            2 if self.number > 3 => 0,
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
    /// Inserts the DIMM of that number.
    fn insert_dimm(&mut self, number: u32) -> io::Result<()>;
    /// Asks the guest to eject the DIMM of that number.
    fn remove_dimm(&mut self, number: u32) -> io::Result<()>;
    /// What the guest has reported last of that DIMM: the event, and the status.
    fn status_of_dimm(&mut self, number: u32) -> io::Result<(u64, u64)>;
    /// Gives the memory of that DIMM back, which the guest has ejected.
    fn forget_dimm(&mut self, number: u32) -> io::Result<()>;
    /// The bytes that are plugged, those of DIMMs among them.
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
            None => Monitor::connect(&self.socket)?,
        };
        Ok(self.monitor.insert(monitor))
    }
}

impl Source for OfQemu {
    fn started(&mut self, pid: u32) {
        self.pid = Some(pid);
    }

    fn request(&mut self, bytes: u64) -> io::Result<()> {
        self.monitor()?.set_property(DEVICE, "requested-size", bytes)
    }

    fn insert_dimm(&mut self, number: u32) -> io::Result<()> {
        let (memory, bytes) = (format!("dimm{number}-memory"), DIMM_MIB << 20);
        let object = json!({ "qom-type": "memory-backend-ram", "id": memory, "size": bytes });
        self.monitor()?.execute("object-add", object)?;
        let device = json!({ "driver": DIMM, "id": format!("dimm{number}"), "memdev": memory });
        self.monitor()?.execute("device_add", device).map(drop)
    }

    fn remove_dimm(&mut self, number: u32) -> io::Result<()> {
        self.monitor()?.execute("device_del", json!({ "id": format!("dimm{number}") })).map(drop)
    }

    fn status_of_dimm(&mut self, number: u32) -> io::Result<(u64, u64)> {
        let answer = self.monitor()?.execute("query-acpi-ospm-status", json!({}))?;
        let id = format!("dimm{number}");
        let slots = answer.as_array().map_or(&[][..], Vec::as_slice);
        let slot = slots.iter().find(|slot| slot["device"] == *id);
        let status = slot.and_then(|slot| Some((slot["source"].as_u64()?, slot["status"].as_u64()?)));
        status.ok_or_else(|| io::Error::other(format!("no status of {id} in {answer}")))
    }

    fn forget_dimm(&mut self, number: u32) -> io::Result<()> {
        self.monitor()?.execute("object-del", json!({ "id": format!("dimm{number}-memory") })).map(drop)
    }

    fn size(&mut self) -> io::Result<u64> {
        let answer = self.monitor()?.execute("query-memory-size-summary", json!({}))?;
        let plugged = answer["plugged-memory"].as_u64();
        plugged.ok_or_else(|| io::Error::other(format!("no size of plugged memory in {answer}")))
    }

    fn resident(&mut self) -> io::Result<u64> {
        resident_bytes(self.pid.ok_or(io::ErrorKind::NotFound)?)
    }
}

/// Requests one size after the other, and then inserts and removes DIMMs: each some time after the
/// guest has followed the change before.
pub(crate) struct Lender<'l, S> {
    source: S,
    listener: &'l mut dyn Listener,
    sizes: Sizes,
    resizes: u32,
    interval: Duration,
    /// How long the resident memory may take to fall.
    patience: Duration,
    /// The number of the next change, and when it is due.
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
    notes: Vec<String>,
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
            patience: GIVE_BACK,
            next: None,
            last: None,
            found: Found::default(),
        }
    }

    /// The number of all changes.
    fn changes(&self) -> u32 {
        self.resizes + DIMM_CHANGES.len() as u32
    }

    /// The number of the DIMM that a change is about, and what the change is; `None` if the change
    /// is one of the size.
    fn dimm(&self, change: u32) -> Option<(u32, DimmChange)> {
        let after = change.checked_sub(self.resizes + 1)?;
        DIMM_CHANGES.get(after as usize).copied()
    }

    /// Makes the change of that number.
    fn change(&mut self, number: u32) -> io::Result<()> {
        match self.dimm(number) {
            None => {
                let size = u64::from(self.sizes.next(number));
                self.source.request(size << 20)
            }
            Some((dimm, DimmChange::Insert)) => self.source.insert_dimm(dimm),
            Some((dimm, DimmChange::Refused | DimmChange::Remove)) => self.source.remove_dimm(dimm),
        }
    }

    /// Compares what the guest has with what QEMU says, and measures.
    fn compare(&mut self, guest: &Resized) -> io::Result<()> {
        match self.dimm(guest.number) {
            Some((dimm, DimmChange::Remove)) => self.source.forget_dimm(dimm)?,
            Some((dimm, DimmChange::Refused)) => self.check_refusal(guest.number, dimm)?,
            Some((_, DimmChange::Insert)) | None => {}
        }
        let size = self.source.size()?;
        let managed = (guest.managed_pages + guest.record_pages) << 12;
        if size != guest.plugged_mib << 20 || size != managed {
            self.found.broken.push(format!(
                "after change {}: QEMU has plugged {size} bytes, the guest says {} MiB, and its allocator \
                 manages {} pages beside {} for records",
                guest.number, guest.plugged_mib, guest.managed_pages, guest.record_pages
            ));
        }
        self.found.compared += u32::from(guest.number > 0);
        let unplugged = self.last.map_or(0, |(plugged, _)| plugged.saturating_sub(guest.plugged_mib));
        let expected = unplugged.saturating_sub(OF_QEMU_MIB + unplugged / 16);
        let most = match self.last {
            Some((_, before)) if unplugged >= LEAST_CHANGE_MIB => before.saturating_sub(expected),
            _ => u64::MAX,
        };
        let since = Instant::now();
        let mut resident = self.source.resident()? >> 20;
        while resident > most && since.elapsed() < self.patience {
            thread::sleep(LOOK);
            resident = self.source.resident()? >> 20;
        }
        self.found.peak = self.found.peak.max(resident);
        self.found.before.get_or_insert(resident);
        if guest.plugged_mib == 0 && guest.number > 0 {
            self.found.after = Some(resident);
        }
        if let Some((_, before)) = self.last.replace((guest.plugged_mib, resident))
            && resident > most
        {
            self.found.broken.push(format!(
                "after change {}: {unplugged} MiB were unplugged, and the resident memory of QEMU went from \
                 {before} to {resident} MiB",
                guest.number
            ));
        }
        Ok(())
    }

    /// Checks that the host knows that the guest keeps a DIMM.
    fn check_refusal(&mut self, change: u32, dimm: u32) -> io::Result<()> {
        let (event, status) = self.source.status_of_dimm(dimm)?;
        if (event, status) != REFUSED {
            self.found.broken.push(format!(
                "after change {change}: the guest keeps DIMM {dimm}, and QEMU has the event {event} and the \
                 status {status:#x} of it"
            ));
        } else {
            self.found.notes.push(format!(
                "DIMM {dimm} stayed while a page of it was pinned; QEMU has that from `_OST`: event {event}, \
                 status {status:#x}"
            ));
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
        let changes = self.changes();
        let Found { compared, before, peak, after, notes, broken } = self.found;
        let mib = |mib: u64| i64::try_from(mib).unwrap_or(i64::MAX);
        transcript.set_stat(stat::SIZES_COMPARED, compared.into());
        if let Some(before) = before {
            transcript.set_stat(stat::RESIDENT_MIB_BEFORE, mib(before));
            transcript.set_stat(stat::RESIDENT_MIB_PEAK, mib(peak));
        }
        if let Some(after) = after {
            transcript.set_stat(stat::RESIDENT_MIB_AFTER_UNPLUG, mib(after));
        }
        transcript.notes.extend(notes);
        transcript.broken.extend(broken);
        if transcript.done.is_some() && compared != changes {
            transcript.broken.push(format!("the host has compared {compared} of {changes} sizes"));
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
            let mut result = self.compare(&Resized { number, plugged_mib, managed_pages, record_pages });
            self.next = (number < self.changes()).then(|| (number + 1, Instant::now() + self.interval));
            if self.next.is_none() {
                // A sign that the last report has been compared, which the guest waits for.
                result = result.and(self.source.request(u64::from(BLOCK_MIB) << 20));
            }
            self.check(result);
        }
        self.listener.receive(raw, line);
    }

    fn tick(&mut self) {
        if let Some((number, due)) = self.next
            && Instant::now() >= due
        {
            self.next = None;
            let result = self.change(number);
            self.check(result);
        }
        self.listener.tick();
    }
}

#[cfg(test)]
mod tests;
