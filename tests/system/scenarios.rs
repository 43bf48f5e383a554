//! The scenarios `faults`, `bench`, `hotplug`, `dma`, `plug` and `balloon` on small machines.

use std::collections::BTreeSet;

use pageblock_boots as boots;
use pageblock_launcher::guest::{Cell, Row};
use pageblock_launcher::host::Status;
use pageblock_launcher::image::Instruments;
use pageblock_launcher::qemu::Machine;
use pageblock_launcher::scenario;
use pageblock_protocol::{BootConfig, Scenario, stat};

fn cell<'r>(row: &'r Row, key: &str) -> &'r Cell {
    let found = row.cells.iter().find(|(name, _)| name == key);
    &found.unwrap_or_else(|| panic!("{}: no {key}", row.name)).1
}

fn integer(row: &Row, key: &str) -> i64 {
    match cell(row, key) {
        Cell::Integer(value) => *value,
        other => panic!("{}: {key} is {other:?}", row.name),
    }
}

/// A boot for each. It fails if the audits do not notice the mistake, or find anything without it.
#[test]
fn every_historical_mistake_is_found_in_the_kernel() {
    let machine = Machine { cpus: 4, memory_mib: 256 };
    let faults = scenario::find("faults").expect("it is in the table");
    for &fault in faults.faults {
        let config = BootConfig {
            scenario: Scenario::Faults,
            fault: Some(fault),
            cma_mib: 64,
            jobs: 4,
            cycles: 4,
            chunk_mib: 4,
            ..faults.defaults
        };
        let outcome = boots::run(machine, &config, Instruments::Faults, Status::Held);
        let [row] = outcome.transcript.rows.as_slice() else {
            panic!("{fault}: {:?}", outcome.transcript.rows);
        };
        assert_eq!(row.name, fault);
        assert_eq!(*cell(row, "detected"), Cell::Word("true".to_owned()), "{fault}");
        assert_eq!(integer(row, "fixed_missed_pages"), 0, "{fault}");
        let (missed, drift) = (integer(row, "missed_pages"), integer(row, "drift_pages"));
        assert!(drift.abs() <= missed, "{fault}: a drift of {drift} with {missed} pages missed");
        let stretched = |note: &String| note.contains("race windows are stretched");
        assert!(outcome.transcript.notes.iter().any(stretched), "{fault} does not say what it does");
    }
    // No count is wrong with this one. The host discards memory that is in use again.
    let balloon = BootConfig { fault: Some("reported-before-acknowledged"), interval_ms: 200, ..BALLOON };
    let outcome = boots::run(BALLOON_MACHINE, &balloon, Instruments::Faults, Status::Broken);
    let stat = |key| outcome.transcript.stat(key).expect("the judgement asks for it");
    assert!(stat(stat::CONTENTS_CORRUPTED) >= 1024, "a block");
    assert_eq!((stat(stat::MISSED_PAGES), stat(stat::MAX_ABS_DRIFT_PAGES)), (0, 0));
}

/// A wave of demand on a small machine.
const BALLOON: BootConfig<'_> = BootConfig {
    scenario: Scenario::Balloon,
    cma_mib: 0,
    cycles: 1,
    chunk_mib: 240,
    interval_ms: 500,
    ..BootConfig::DEFAULT
};
const BALLOON_MACHINE: Machine = Machine { cpus: 4, memory_mib: 384 };

/// On one CPU and on three: every workload is counted, by a counter that is right.
#[test]
fn operations_are_counted() {
    let bench = scenario::find("bench").expect("it is in the table");
    let config = BootConfig { scenario: Scenario::Bench, cycles: 4, ..bench.defaults };
    let boot = |cpus| boots::run(Machine { cpus, memory_mib: 512 }, &config, Instruments::None, Status::Held);
    let alone = boot(1);
    let row = |name: &str| {
        let found = alone.transcript.rows.iter().find(|row| row.name == name);
        found.unwrap_or_else(|| panic!("no row {name}"))
    };
    let decimal = |row: &Row, key: &str| match cell(row, key) {
        Cell::Decimal(value) => *value,
        other => panic!("{}: {key} is {other:?}", row.name),
    };
    for name in ["calibration-loop", "calibration-body"] {
        let (known, read) = (integer(row(name), "known") as f64, decimal(row(name), "read"));
        assert!((read - known).abs() <= known / 100.0, "{name} reads {read} instead of {known}");
    }
    let counted: Vec<&Row> = alone
        .transcript
        .rows
        .iter()
        .filter(|row| row.cells.iter().any(|(key, _)| key == "instructions"))
        .collect();
    assert_eq!(counted.len(), 17 + 37);
    for row in counted {
        let instructions = decimal(row, "instructions");
        // A call that is longer than its target has a lock hold that grows with its work. Some
        // calls never mask interrupts. All others: a call, a return and what is in between.
        let bounds = if row.name.starts_with("masked:") { -0.1..11_000.0 } else { 10.0..f64::INFINITY };
        assert!(bounds.contains(&instructions), "{}: {instructions}", row.name);
    }
    for name in ["masked:alloc_pages", "masked:isolate", "masked:CmaArea::alloc", "masked:drain_all"] {
        assert!(decimal(row(name), "instructions") >= 100.0, "{name}");
    }
    let pair = row("burst-of-1024-shuffled");
    let parts = decimal(pair, "alloc") + decimal(pair, "free");
    assert!((parts - decimal(pair, "instructions")).abs() < 0.01);
    // Four ranges of 2048 pages each, of which half were mapped, and then all.
    assert_eq!(alone.transcript.stat(stat::PAGES_MIGRATED), Some(4 * (1024 + 2048)));

    let together = boot(3);
    let [row] = together.transcript.rows.as_slice() else { panic!("{:?}", together.transcript.rows) };
    assert_eq!(row.name, "storm-on-3-cpus");
    assert!(integer(row, "operations") >= 3 * 900);
}

#[test]
fn a_counter_that_does_not_count_is_not_believed() {
    let cma = scenario::find("cma").expect("it is in the table");
    let config = BootConfig { scenario: Scenario::Bench, ..cma.defaults };
    boots::run_on_a_clock(
        cma.clock,
        Machine { cpus: 1, memory_mib: 512 },
        &config,
        Instruments::None,
        Status::Usage,
    );
}

#[test]
fn half_of_memory_goes_offline_and_comes_back() {
    let hotplug = scenario::find("hotplug").expect("it is in the table");
    let machine = Machine { cpus: 4, memory_mib: 512 };
    let config = BootConfig {
        scenario: Scenario::Hotplug,
        cma_mib: 64,
        jobs: 4,
        cycles: 3,
        chunk_mib: 32,
        ..hotplug.defaults
    };
    let outcome = boots::run(machine, &config, Instruments::None, Status::Held);
    let stat = |key| outcome.transcript.stat(key).expect("the judgement asks for it");
    assert_eq!(stat(stat::ROUNDS), 3);
    assert_eq!(stat(stat::SHORT_ROUNDS), 0);
    assert_eq!(stat(stat::BLOCKS_PER_ROUND), 8, "half of 512 MiB");
    assert_eq!(stat(stat::BLOCKS_OFFLINED), 3 * 8);
    assert_eq!(stat(stat::BLOCKS_ONLINED), 3 * 8);
    assert_eq!(stat(stat::MANAGED_PAGES_BEFORE) - stat(stat::MANAGED_PAGES_LEAST), 8 * 32 * 256);
    assert_eq!(stat(stat::WATERMARKS_RECALCULATED), 2 * 3 * 8);
    assert!(stat(stat::MIN_WATERMARK_LEAST) < stat(stat::MIN_WATERMARK_BEFORE));
    assert_eq!(stat(stat::VETOES), 2);
    assert!(stat(stat::PAGES_MIGRATED) > 0 && stat(stat::CONTENTS_CHECKED) > 10_000);

    // A page was put in the way of one block, on purpose: it is named, and half of memory goes all
    // the same.
    let rows = &outcome.transcript.rows;
    assert_eq!(rows.len() as i64, stat(stat::BLOCKS));
    let told = |note: &String| {
        note.contains("on purpose in the way once: ") && note.contains("part of a contiguous allocation")
    };
    assert!(outcome.transcript.notes.iter().any(told), "{:?}", outcome.transcript.notes);
    // Whether it is tried again depends on how many others can go instead.
    let failed = rows.iter().find(|row| integer(row, "failures") > 0).expect("the first round has a failure");
    assert_ne!(cell(failed, "last_in_the_way").to_string(), "-");
}

#[test]
fn a_disk_reads_and_writes_buffers_of_the_area() {
    let dma = scenario::find("dma").expect("it is in the table");
    let machine = Machine { cpus: 4, memory_mib: 256 };
    let config = BootConfig { scenario: Scenario::Dma, cma_mib: 64, jobs: 4, cycles: 2, ..dma.defaults };
    let outcome = boots::run(machine, &config, Instruments::None, Status::Held);
    let stat = |key| outcome.transcript.stat(key).expect("the judgement asks for it");
    assert!(stat(stat::REQUESTS) >= 2000 && stat(stat::BYTES) >= 2000 * 4096);
    assert!(stat(stat::DISK_BLOCKS_WRITTEN) > 1000, "about half of the requests write");
    assert_eq!(stat(stat::DISK_CORRUPTED), 0);
    assert!(stat(stat::PAGES_MIGRATED) > 0, "the jobs use the area");
    assert!(stat(stat::ISOLATIONS_REFUSED) > 0, "frames in flight do not move");
    let (refusals, rows): (Vec<_>, Vec<_>) = outcome.transcript.rows.iter().partition(|row| row.is_refusal());
    let refused = stat(stat::BUFFERS_REFUSED);
    // Each frame once with each reason.
    assert!((refused.min(1)..=refused).contains(&(refusals.len() as i64)), "{refused}");
    assert!(refusals.iter().all(|row| row.name.parse::<u64>().is_ok()));
    let distinct: BTreeSet<_> =
        refusals.iter().map(|row| (&row.name, cell(row, "reason").to_string())).collect();
    assert_eq!(distinct.len(), refusals.len());
    assert_eq!(rows.len(), 5, "the kinds of devices");
    assert_eq!(rows.iter().map(|row| integer(row, "requests")).sum::<i64>(), stat(stat::REQUESTS));
    assert_eq!(rows.iter().map(|row| integer(row, "buffers")).sum::<i64>(), stat(stat::BUFFERS));
    for row in rows.iter().filter(|row| integer(row, "refusals") > 0) {
        assert!(cell(row, "last_in_the_way").to_string().starts_with("pfn_0x"), "{}", row.name);
    }
}

/// The launcher compares the sizes and the resident memory, and adds what does not hold.
#[test]
fn the_host_lends_memory_and_gets_it_back() {
    let plug = scenario::find("plug").expect("it is in the table");
    let machine = Machine { cpus: 4, memory_mib: 256 };
    let config = BootConfig { scenario: Scenario::Plug, jobs: 4, cycles: 5, ..plug.defaults };
    let outcome = boots::run(machine, &config, Instruments::None, Status::Held);
    let stat = |key| outcome.transcript.stat(key).expect("the judgement asks for it");
    assert_eq!((stat(stat::RESIZES), stat(stat::SIZES_COMPARED), stat(stat::SHORT_RESIZES)), (5, 10, 0));
    assert_eq!((stat(stat::DIMMS_INSERTED), stat(stat::DIMMS_REMOVED)), (2, 2));
    // A page of it was pinned: the guest keeps it, and QEMU knows that.
    assert_eq!(stat(stat::DIMMS_REFUSED), 1);
    assert_eq!(stat(stat::PLUGGED_MAX_MIB), 256, "the first size is all of it");
    assert_eq!(stat(stat::BLOCKS_PLUGGED), stat(stat::BLOCKS_UNPLUGGED), "the last size is nothing");
    assert!(stat(stat::BLOCKS_PLUGGED) > 128, "all of it, and some again");
    assert!(stat(stat::PAGES_MIGRATED) > 0 && stat(stat::CONTENTS_CHECKED) > 10_000);
    let resident = |key| stat(key) - stat(stat::RESIDENT_MIB_BEFORE);
    assert!((240..300).contains(&resident(stat::RESIDENT_MIB_PEAK)), "{}", resident(stat::RESIDENT_MIB_PEAK));
    assert!(resident(stat::RESIDENT_MIB_AFTER_UNPLUG) < 32);

    // A page was pinned on purpose: its block is refused once, and the frame is named.
    let rows = &outcome.transcript.rows;
    assert!(stat(stat::BLOCKS_REFUSED) >= 1 && !rows.is_empty(), "{rows:?}");
    let pinned = rows.iter().find(|row| cell(row, "reason").to_string().contains("pinned"));
    let pfn: u64 = pinned.expect("a row of the pinned page").name.parse().unwrap();
    let window = 1 << 20..(1 << 20) + (1 << 16);
    assert!(window.contains(&pfn), "{pfn:#x} is not in the window");
    // So is that of a DIMM.
    let others = rows.iter().filter(|row| !window.contains(&row.name.parse().unwrap()));
    assert!(others.count() >= 1, "{rows:?}");
}

/// The kernel reports free memory, and the launcher watches the resident memory of QEMU.
#[test]
fn free_memory_goes_back_to_the_host() {
    let outcome = boots::run(BALLOON_MACHINE, &BALLOON, Instruments::None, Status::Held);
    let stat = |key| outcome.transcript.stat(key).expect("the judgement asks for it");
    assert!(stat(stat::RETURNED_MIB) >= 100, "{} MiB of 210", stat(stat::RETURNED_MIB));
    assert!(stat(stat::RETURN_MS) < 10_000, "{} ms", stat(stat::RETURN_MS));
    assert!(stat(stat::CONTENTS_CHECKED) > 50_000);
    assert!(stat(stat::PAGES_USED_DURING_REPORTS) >= 1024, "a block");
    assert!(stat(stat::RANGES_WAITED_FOR) >= 1);
    let points = &outcome.transcript.residency[0].points;
    let peak = points.iter().map(|point| point.resident_kib).max().unwrap();
    let last = points.last().unwrap();
    assert!(last.used_kib < 60 << 10, "{} KiB are in use", last.used_kib);
    assert!(last.resident_kib + (80 << 10) < peak, "{} KiB of {peak}", last.resident_kib);
}
