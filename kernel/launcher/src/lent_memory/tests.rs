//! A host that lends memory to guests that follow, that lie, and that give nothing back.

use super::*;

/// A guest that follows each request at once, and what may be wrong with it.
#[derive(Default)]
struct Guest {
    plugged_mib: u64,
    requests: Vec<u64>,
    /// What the device has beside what the guest says, in bytes.
    hidden: u64,
    /// The host does not get back what was unplugged.
    keeps: bool,
    peak_mib: u64,
    fails: bool,
    /// How often it was asked for the first DIMM. The first time a page is pinned.
    asked: u32,
    /// It keeps the first DIMM without a word.
    is_silent: bool,
}

impl Source for Guest {
    fn started(&mut self, _: u32) {}

    fn request(&mut self, bytes: u64) -> io::Result<()> {
        self.plugged_mib = bytes >> 20;
        self.peak_mib = self.peak_mib.max(self.plugged_mib);
        self.requests.push(self.plugged_mib);
        if self.fails { Err(io::Error::other("no")) } else { Ok(()) }
    }

    fn insert_dimm(&mut self, _: u32) -> io::Result<()> {
        self.request(DIMM_MIB << 20)
    }

    fn remove_dimm(&mut self, number: u32) -> io::Result<()> {
        self.asked += 1;
        if number == 0 && self.asked == 1 { Ok(()) } else { self.request(0) }
    }

    fn status_of_dimm(&mut self, number: u32) -> io::Result<(u64, u64)> {
        assert_eq!((number, self.asked), (0, 1), "of the one that it keeps");
        Ok(if self.is_silent { (0, 0) } else { (3, 0x81) })
    }

    fn forget_dimm(&mut self, _: u32) -> io::Result<()> {
        assert_eq!(self.plugged_mib, 0, "it was ejected");
        Ok(())
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok((self.plugged_mib << 20) + self.hidden)
    }

    fn resident(&mut self) -> io::Result<u64> {
        Ok((500 + if self.keeps { self.peak_mib } else { self.plugged_mib }) << 20)
    }
}

/// Runs the guest for 40 resizes, each reported with these pages less than there are. Returns what
/// the transcript then has, and the requests.
fn run(guest: Guest, lie_pages: u64) -> (Transcript, Vec<u64>) {
    let config = BootConfig { cycles: 40, chunk_mib: 256, interval_ms: 0, ..BootConfig::DEFAULT };
    let mut transcript = Transcript::default();
    let mut none = ();
    let mut lender = Lender::new(guest, &config, &mut none);
    lender.patience = Duration::ZERO;
    lender.started(1);
    let mut number = 0;
    let mut report = |lender: &mut Lender<'_, Guest>| {
        let mib = lender.source.plugged_mib;
        let records = mib.div_ceil(128) * 512;
        let line = Line::Resized {
            number,
            plugged_mib: mib,
            managed_pages: (mib * 256 - records).saturating_sub(lie_pages),
            record_pages: records,
        };
        lender.receive(&line.to_string(), Some(&line));
        number += 1;
    };
    report(&mut lender);
    while lender.next.is_some() {
        lender.tick();
        if lender.found.broken.iter().all(|text| !text.contains("the memory device")) {
            report(&mut lender);
        }
    }
    transcript.receive("@pb done held");
    let requests = lender.source.requests.clone();
    lender.finish(&mut transcript);
    (transcript, requests)
}

#[test]
fn a_guest_that_follows_is_believed() {
    let (transcript, requests) = run(Guest::default(), 0);
    assert_eq!(transcript.broken, [""; 0]);
    assert_eq!(transcript.stat(stat::SIZES_COMPARED), Some(45));
    assert_eq!(transcript.stat(stat::RESIDENT_MIB_BEFORE), Some(500));
    assert_eq!(transcript.stat(stat::RESIDENT_MIB_PEAK), Some(756));
    assert_eq!(transcript.stat(stat::RESIDENT_MIB_AFTER_UNPLUG), Some(500));
    assert_eq!((requests.len(), &requests[..2], requests[39]), (45, &[256, 0][..], 0));
    assert_eq!(requests[40..], [128, 0, 128, 0, 2], "the DIMMs, and the sign of the end");
    assert!(requests.windows(2).all(|pair| pair[0] != pair[1]), "{requests:?}");
    assert!(requests.iter().all(|size| size % 2 == 0 && *size <= 256));
    assert_eq!(run(Guest::default(), 0).1, requests, "the seed decides");
}

#[test]
fn the_last_size_is_nothing_and_no_two_in_a_row_are_equal() {
    for number in 2..20 {
        for (seed, most) in [(1, 8), (2, 8), (3, 256), (u64::MAX, 16 << 10)] {
            let mut sizes = Sizes::new(seed, most, number);
            let all: Vec<u32> = (1..=number).map(|change| sizes.next(change)).collect();
            assert_eq!((all[0], all[all.len() - 1]), (most, 0));
            assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
            assert!(all.iter().all(|size| size.is_multiple_of(BLOCK_MIB) && *size <= most), "{all:?}");
        }
    }
}

#[test]
fn a_lie_of_a_page_is_found() {
    let (transcript, _) = run(Guest::default(), 1);
    // Not where nothing is plugged.
    let found = transcript.broken.len();
    assert!((30..=43).contains(&found), "{found}");
    assert!(transcript.broken[0].starts_with("after change 1: QEMU has plugged 268435456 bytes"), "{found}");
    let (transcript, _) = run(Guest { hidden: 4096, ..Guest::default() }, 0);
    assert_eq!(transcript.broken.len(), 46, "{:?}", transcript.broken);
}

#[test]
fn memory_that_does_not_come_back_is_found() {
    let (transcript, _) = run(Guest { keeps: true, ..Guest::default() }, 0);
    let text =
        "after change 2: 256 MiB were unplugged, and the resident memory of QEMU went from 756 to 756 MiB";
    assert_eq!(transcript.broken[0], text);
}

#[test]
fn a_guest_that_keeps_a_dimm_says_so() {
    let (transcript, _) = run(Guest { is_silent: true, ..Guest::default() }, 0);
    let text = "after change 42: the guest keeps DIMM 0, and QEMU has the event 0 and the status 0x0 of it";
    assert_eq!((transcript.broken, transcript.notes), (vec![text.to_owned()], vec![]));
    let (transcript, _) = run(Guest::default(), 0);
    assert!(transcript.notes[0].ends_with("event 3, status 0x81"), "{:?}", transcript.notes);
}

#[test]
fn a_device_that_fails_ends_the_requests() {
    let (transcript, requests) = run(Guest { fails: true, ..Guest::default() }, 0);
    assert_eq!(requests, [256]);
    assert_eq!(transcript.broken, ["the memory device of QEMU: no", "the host has compared 0 of 45 sizes"]);
}

#[test]
fn the_size_of_qemu_is_set_and_read_over_its_monitor() {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;

    let lent = LentMemory::new(256);
    let arguments = lent.arguments();
    let socket = lent.monitor.clone();
    assert!(arguments[7].to_string_lossy().contains(&*socket.to_string_lossy()), "{arguments:?}");
    let listener = UnixListener::bind(&socket).unwrap();
    let qemu = thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        writeln!(stream.get_mut(), r#"{{"QMP": {{}}}}"#).unwrap();
        [
            r#"{"return": {}}"#,
            r#"{"return": {}}"#,
            r#"{"return": {"base-memory": 1, "plugged-memory": 2097152}}"#,
        ]
        .map(|answer| {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            writeln!(stream.get_mut(), "{answer}").unwrap();
            line
        })
    });
    let mut none = ();
    let mut lender = lent.lender(&BootConfig::DEFAULT, &mut none);
    lender.source.request(2 << 20).unwrap();
    assert_eq!(lender.source.size().unwrap(), 2 << 20);
    let commands = qemu.join().unwrap();
    assert!(commands[1].contains("requested-size") && commands[1].contains("/lent"), "{commands:?}");
    assert!(commands[2].contains("query-memory-size-summary"), "{commands:?}");
    drop(lent);
    assert!(!socket.exists());
}
