//! The main experiment on a small machine, without a fault, with one, and under other designs.
//!
//! With one line of accounting left out it must find missed pages, which shows that it can fail.

use pageblock_boots as boots;
use pageblock_launcher::guest::Cell;
use pageblock_launcher::guest::Outcome;
use pageblock_launcher::host::Status;
use pageblock_launcher::image::Instruments;
use pageblock_launcher::qemu::Machine;
use pageblock_protocol::{BootConfig, Scenario, stat};

const MACHINE: Machine = Machine { cpus: 4, memory_mib: 256 };

const CONFIG: BootConfig<'_> = BootConfig { cma_mib: 64, jobs: 4, cycles: 5, ..BootConfig::DEFAULT };

fn run(config: &BootConfig<'_>, instruments: Instruments, expected: Status) -> Outcome {
    boots::run(MACHINE, config, instruments, expected)
}

#[test]
fn no_page_is_missed() {
    let outcome = run(&CONFIG, Instruments::None, Status::Held);
    let stat = |key| outcome.transcript.stat(key).expect("the judgement asks for it");
    assert_eq!(stat(stat::MISSED_PAGES), 0);
    assert_eq!(stat(stat::SUCCEEDED), 5);
    assert_eq!(stat(stat::FAILED), 0);
    assert!(stat(stat::AUDITS) >= 100, "{} audits", stat(stat::AUDITS));
    assert!(stat(stat::CONTENTS_CHECKED) >= 10_000);
    assert_eq!(stat(stat::CONTENTS_CORRUPTED), 0);
}

/// The least work is in proportion to the cycles: a million allocations are for thirty.
#[test]
fn two_cycles_do_no_more_than_they_need() {
    let config = BootConfig { cycles: 2, jobs: 2, ..CONFIG };
    let outcome = run(&config, Instruments::None, Status::Held);
    let allocations = outcome.transcript.stat(stat::ALLOCATIONS).expect("the judgement asks for it");
    assert!((66_667..500_000).contains(&allocations), "{allocations} allocations");
}

/// Every audit is a sample, in the order of time, and so is every contiguous allocation.
#[test]
fn samples_are_sent_if_they_are_asked_for() {
    let outcome = run(&BootConfig { samples: true, ..CONFIG }, Instruments::None, Status::Held);
    let (transcript, samples) = (&outcome.transcript, &outcome.transcript.samples);
    let stat = |key| transcript.stat(key).expect("it is reported");
    assert_eq!(samples.audits.len() as i64, stat(stat::AUDITS));
    assert!(samples.audits.iter().all(|audit| audit.drift() == 0));
    assert!(samples.audits.is_sorted_by_key(|audit| audit.at_us));
    assert_eq!(samples.latencies.len() as i64, stat(stat::SUCCEEDED));
    for (_, latency) in &samples.latencies {
        let parts = latency.isolate + latency.migrate + latency.audits + latency.test;
        assert!(parts > 0 && parts <= latency.whole, "{latency:?}");
    }
    assert!(!samples.orders.is_empty());
    // Sampling takes a small part of the run.
    let run_ms = stat(stat::WALL_MS) * i64::from(MACHINE.cpus);
    assert!(stat(stat::SAMPLES_CPU_MS) * 4 < run_ms, "{} of {run_ms} ms", stat(stat::SAMPLES_CPU_MS));
    assert!(run(&CONFIG, Instruments::None, Status::Held).transcript.samples.audits.is_empty());
}

#[test]
fn a_skipped_line_of_accounting_is_found() {
    let config = BootConfig { fault: Some("skipped-account"), ..CONFIG };
    let outcome = run(&config, Instruments::Faults, Status::Broken);
    let missed = outcome.transcript.stat(stat::MISSED_PAGES);
    assert!(missed.is_some_and(|missed| missed > 0), "{missed:?} pages missed");
    assert!(!outcome.transcript.broken.is_empty());
}

#[test]
fn an_unknown_fault_is_refused_by_its_name() {
    let config = BootConfig { fault: Some("no-such-fault"), ..CONFIG };
    let outcome = run(&config, Instruments::Faults, Status::Usage);
    assert!(outcome.ending.to_string().contains("no-such-fault"), "{}", outcome.ending);
}

#[test]
fn every_accounting_design_is_as_wrong_as_it_says() {
    // Enough units for jobs to give pages back in the middle of some: in five they sometimes give
    // none.
    let config = BootConfig { scenario: Scenario::Designs, cycles: 20, ..CONFIG };
    let outcome = run(&config, Instruments::Designs, Status::Held);
    let rows = &outcome.transcript.rows;
    let cell = |design: usize, key| {
        let cells = &rows[design].cells;
        match cells.iter().find(|(name, _)| name == key) {
            Some((_, Cell::Integer(pages))) => *pages,
            other => panic!("{key}: {other:?}"),
        }
    };
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["default", "remembered-x", "remembered-x-and-m", "parked"]);
    for design in [0, 3] {
        let keys = ["max_overcount_pages", "max_undercount_pages", "worst_case_pages", "final_drift_pages"];
        assert_eq!(keys.map(|key| cell(design, key)), [0; 4], "{}", names[design]);
    }
    for design in [1, 2] {
        assert_eq!(cell(design, "worst_case_pages"), 1024, "{}", names[design]);
        assert_eq!(cell(design, "worst_case_of_two_pages"), 2048, "{}", names[design]);
        assert_eq!(cell(design, "final_drift_pages"), 0, "{}", names[design]);
    }
    let while_jobs_ran = cell(1, "max_overcount_pages");
    assert!((1..=1024).contains(&while_jobs_ran), "{while_jobs_ran}");
}
