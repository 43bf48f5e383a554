//! The snapshots for a kernel's shell: that the numbers are the machine's, and how they read.

use pageblock::{AllocRequest, FreeKind, MigrateType, Order};

use crate::support::{Machine, cma_area, frames, range};

/// 16 MiB of DMA32 with a CMA area of 4 MiB, a page in use, and a pageblock isolated.
fn machine() -> Machine {
    let machine = frames(&[(4096, 8192)]).min_free(100).build();
    cma_area(&machine, range(5120, 6144));
    machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine
}

#[test]
fn buddyinfo_has_a_line_for_each_zone_with_memory() {
    let machine = machine();
    let info = machine.buddyinfo();
    let text = info.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let numbers: Vec<usize> =
        lines[1].split_whitespace().skip(2).map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 11);
    let pages: usize = numbers.iter().enumerate().map(|(order, blocks)| blocks << order).sum();
    assert_eq!(pages, machine.free_count());
    for (order, blocks) in numbers.into_iter().enumerate() {
        assert_eq!(info.zones[1].all(Order::new(order as u8)), blocks);
    }
}

#[test]
fn pagetypeinfo_tells_lists_and_pageblocks_apart() {
    let machine = machine();
    let isolated = machine.isolate(range(4096, 4097)).unwrap();
    let info = machine.pagetypeinfo();
    let zone = info.zones[1];
    assert_eq!(zone.pageblocks(FreeKind::Listed(MigrateType::Cma)), 2);
    assert_eq!(zone.pageblocks(FreeKind::Isolated), 1);
    assert_eq!(zone.count(FreeKind::Isolated, Order::new(9)), 1);
    assert_eq!(zone.count(FreeKind::Isolated, Order::new(200)), 0, "no such order");
    let text = info.to_string();
    for word in
        ["pageblocks", "unmovable", "movable", "reclaimable", "high-atomic", "CMA", "isolated", "DMA32"]
    {
        assert!(text.contains(word), "{word} in\n{text}");
    }
    drop(isolated);
}

#[test]
fn zoneinfo_has_counts_marks_and_pcplists() {
    let machine = machine();
    let info = machine.zoneinfo();
    let zone = info.zones[1];
    assert_eq!((zone.present, zone.managed, zone.spanned), (4096, 4096, 4096));
    assert_eq!((zone.free, zone.free_cma), (machine.free_count(), machine.free_cma_count()));
    assert_eq!(zone.free + zone.cached + 1, 4096);
    assert_eq!((zone.watermarks.min, zone.watermarks.low, zone.watermarks.high), (100, 125, 150));
    assert!(zone.high >= zone.batch && zone.batch > 0);
    let text = info.to_string();
    assert!(text.starts_with("zone DMA32\n"), "{text}");
    for line in
        ["free", "min", "low", "high", "CMA", "isolated", "managed", "lowmem reserve", "pcplists of 1 CPUs"]
    {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn meminfo_prints_kibibytes() {
    let machine = machine();
    let info = machine.meminfo();
    assert_eq!((info.total, info.free_cma), (4096, 1024));
    let text = info.to_string();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    assert_eq!((value("MemTotal:"), value("CmaFree:")), (16384, 4096));
    assert_eq!(value("MemFree:"), 4 * machine.free_count());
    assert!(text.lines().all(|line| line.ends_with(" kB")));
}

#[test]
fn an_audit_says_exact_or_what_is_wrong() {
    let machine = machine();
    let text = machine.audit().to_string();
    assert!(text.starts_with("DMA32") && text.trim_end().ends_with("exact"), "{text}");
    let mut report = machine.audit();
    report.zones[1].free.counter += 5;
    report.zones[1].isolated.truth += 2;
    report.zones[1].misplaced = 3;
    assert!(!report.is_exact());
    assert_eq!((report.free_drift(), report.max_abs_drift()), (5, 5));
    let text = report.to_string();
    assert!(
        text.contains("free +5") && text.contains("isolated -2") && text.contains("3 misplaced"),
        "{text}"
    );
}
