//! The scenario `soak` for a second or two, as it is and with a mistake.
//!
//! Both boot one image, with the switches of the mistakes.

use pageblock_boots as boots;
use pageblock_launcher::host::Status;
use pageblock_launcher::image::Instruments;
use pageblock_launcher::qemu::Machine;
use pageblock_launcher::scenario;
use pageblock_protocol::{BootConfig, Scenario, stat};

const MACHINE: Machine = Machine { cpus: 4, memory_mib: 256 };

fn config(operations: u64) -> BootConfig<'static> {
    let soak = scenario::find("soak").expect("it is in the table");
    BootConfig { scenario: Scenario::Soak, cma_mib: 64, operations, ..soak.defaults }
}

#[test]
fn everything_at_once_keeps_the_count_exact() {
    let outcome = boots::run(MACHINE, &config(1_500_000), Instruments::FaultsAndTrace, Status::Held);
    let stat = |key| outcome.transcript.stat(key).expect("the judgement asks for it");
    assert!(stat(stat::OPERATIONS) >= 1_500_000);
    for key in [
        stat::AUDITS,
        stat::VERIFICATIONS,
        stat::EVENTS,
        stat::OPERATIONS_RANGES,
        stat::OPERATIONS_CMA,
        stat::OPERATIONS_HOTPLUG,
        stat::OPERATIONS_ISOLATION,
        stat::OPERATIONS_DRAINS,
        stat::REFUSED_FREES,
        stat::INTERRUPT_ALLOCATIONS,
        stat::PAGES_MIGRATED,
        stat::CONTENTS_CHECKED,
    ] {
        assert!(stat(key) > 0, "{key} is 0");
    }
    assert!(outcome.transcript.events.is_empty(), "events are for failures");
    let goes_on = "a run with --seed 2 goes on where this one ended";
    assert!(outcome.transcript.notes.iter().any(|note| note == goes_on));
}

/// The run ends at the first failure, long before its operations, and says what happened before it.
#[test]
fn a_mistake_ends_the_run_with_the_last_events() {
    let config = BootConfig { fault: Some("merge-across"), ..config(1_000_000_000) };
    let outcome = boots::run(MACHINE, &config, Instruments::FaultsAndTrace, Status::Broken);
    let transcript = &outcome.transcript;
    assert!(transcript.broken.iter().any(|text| text.contains("in round 1, whose seed is 1")));
    assert!(transcript.events.is_sorted_by_key(|event| event.at_us));
    for kind in ["ZoneAlloc", "ZoneFree"] {
        assert!(transcript.events.iter().any(|event| event.text.starts_with(kind)), "no {kind}");
    }
    let cpus: std::collections::BTreeSet<u32> = transcript.events.iter().map(|event| event.cpu).collect();
    assert!(cpus.len() > 1 && cpus.iter().all(|cpu| *cpu < 4), "{cpus:?}");
}
