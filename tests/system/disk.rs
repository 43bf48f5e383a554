//! The checks of the scenario `dma` against the real kernel: each finds what it is there for.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use pageblock_boots as boots;
use pageblock_launcher::disk::Disk;
use pageblock_launcher::guest::{Ending, Limits, Listener, Outcome};
use pageblock_launcher::host::{Interrupt, Status};
use pageblock_launcher::image::Instruments;
use pageblock_launcher::qemu::{Clock, Debugger, Device, Machine};
use pageblock_launcher::scenario::{self, Judgement};
use pageblock_protocol::{BootConfig, Line, Scenario, stat};

const MACHINE: Machine = Machine { cpus: 4, memory_mib: 256 };
const LIMITS: Limits =
    Limits { deadline: Some(Duration::from_secs(300)), silence: Some(Duration::from_secs(60)) };

fn config() -> BootConfig<'static> {
    let dma = scenario::find("dma").expect("it is in the table");
    BootConfig { scenario: Scenario::Dma, cma_mib: 64, jobs: 4, cycles: 1, ..dma.defaults }
}

/// Boots with these devices and that disk.
fn boot(devices: &[Device], disk: Option<Disk>, listener: &mut dyn Listener) -> (Judgement, Outcome) {
    let mut vm = boots::vm_with(Clock::Time, Instruments::None, devices);
    if let Some(disk) = disk {
        vm.connect(disk);
    }
    let alone = boots::boot_alone();
    let interrupt = Interrupt::new();
    let outcome = vm.boot(MACHINE, Debugger::None, &config(), LIMITS, &interrupt, listener);
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    drop(alone);
    let spec = scenario::find("dma").expect("it is in the table");
    (Judgement::of(spec, MACHINE, &outcome), outcome)
}

#[test]
fn a_guest_without_a_disk_says_so() {
    let (judgement, outcome) = boot(&[], None, &mut ());
    assert_eq!(judgement.status, Status::Usage, "{judgement}");
    assert!(matches!(outcome.ending, Ending::Fatal(_)));
    assert!(judgement.to_string().contains("no virtio device of type Block"), "{judgement}");
}

/// Overwrites the last quarter of the file when the run begins.
struct Damage(PathBuf);

impl Listener for Damage {
    fn receive(&mut self, _: &str, line: Option<&Line<'_>>) {
        if let Some(Line::Hello { .. }) = line {
            let mut file = File::options().write(true).open(&self.0).expect("the disk");
            file.seek(SeekFrom::Start(48 << 20)).expect("it has 64 MiB");
            file.write_all(&vec![0x55; 16 << 20]).expect("room");
        }
    }
}

#[test]
fn a_disk_that_changes_behind_the_guest_is_noticed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("disk");
    let disk = Disk::create(Some(&path), 64).expect("a file");
    let (judgement, outcome) = boot(&[Device::DISK], Some(disk), &mut Damage(path));
    assert_eq!(judgement.status, Status::Broken, "{judgement}");
    let corrupted = outcome.transcript.stat(stat::DISK_CORRUPTED).expect("it is reported");
    assert!(corrupted > 1000, "{corrupted} of 4096 blocks");
    assert!(judgement.to_string().contains("the disk should have"), "{judgement}");
}
