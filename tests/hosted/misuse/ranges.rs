//! Ranges that make no sense, or are not to be had.

use pageblock::{
    ContigError, ContigOptions, FrameKind, HandOverError, IsolateError, MemoryUse, NoMigration, Obstacle,
    Pfn, PfnRange, RangeError,
};

use super::machine;
use crate::support::{Easygoing, range, unchanged};

/// What isolation, contiguous allocation and reservation all refuse.
fn bad() -> [(PfnRange, RangeError); 7] {
    let foreign = |pfn| RangeError::Foreign { pfn: Pfn::new(pfn) };
    let not_managed = |pfn, kind| RangeError::NotManaged { pfn: Pfn::new(pfn), kind };
    let crosses = |range, border| RangeError::CrossesZones { range, border: Pfn::new(border) };
    [
        (range(77, 77), RangeError::Empty { range: range(77, 77) }),
        (range(8192, 8200), foreign(8192)),
        (range(8000, 8200), foreign(8192)),
        (range(1023, 1025), crosses(range(1023, 1025), 1024)),
        (range(100, 8000), crosses(range(100, 8000), 1024)),
        (range(2000, 2150), not_managed(2048, FrameKind::Hole)),
        (range(4990, 5005), not_managed(5000, FrameKind::Reserved)),
    ]
}

#[test]
fn that_make_no_sense_are_not_isolated() {
    let machine = machine();
    for (wanted, error) in bad() {
        let result = unchanged(&machine, || machine.isolate(wanted).unwrap_err());
        assert_eq!(result, IsolateError::Range(error));
    }
}

#[test]
fn that_make_no_sense_are_not_allocated() {
    let machine = machine();
    for (wanted, error) in bad() {
        let result = unchanged(&machine, || {
            machine.alloc_contig(wanted, &Easygoing, ContigOptions::default()).unwrap_err()
        });
        assert_eq!(result, ContigError::Isolate(IsolateError::Range(error)));
    }
}

#[test]
fn that_make_no_sense_are_not_reserved_nor_added() {
    let machine = machine();
    // These two may be in several zones. What is wrong with such a range is then in one of them.
    let one_zone = |error: &RangeError| !matches!(error, RangeError::CrossesZones { .. });
    let bad = bad().into_iter().filter(|(_, error)| one_zone(error));
    let hole = RangeError::NotManaged { pfn: Pfn::new(2048), kind: FrameKind::Hole };
    for (wanted, error) in bad.chain([(range(100, 8000), hole), (range(1023, 2049), hole)]) {
        let result = unchanged(&machine, || machine.reserve(wanted).unwrap_err());
        assert_eq!(result, HandOverError::Range(error));
        let result = unchanged(&machine, || machine.add_memory(wanted, MemoryUse::Ordinary).unwrap_err());
        match error {
            // Adding is for holes and reserved frames: what is in the way is what is managed.
            RangeError::NotManaged { .. } => assert!(matches!(result, HandOverError::Managed { .. })),
            error => assert_eq!(result, HandOverError::Range(error)),
        }
    }
}

#[test]
fn that_overlap_one_of_many_are_refused_with_that_one() {
    let machine = machine();
    let held: Vec<_> =
        (0..100).map(|n| machine.isolate(range(4096 + 9 * n, 4100 + 9 * n)).unwrap()).collect();
    for isolated in &held {
        let with = isolated.range();
        let result = unchanged(&machine, || machine.isolate(with).unwrap_err());
        assert_eq!(result, IsolateError::Overlap { range: with, with });
    }
    assert!(machine.isolate(range(4100, 4105)).is_ok(), "between two");
}

#[test]
fn that_hold_another_allocation_are_refused() {
    let machine = machine();
    let taken = machine.alloc_contig(range(4200, 4300), &NoMigration, ContigOptions::default()).unwrap();
    let result = unchanged(&machine, || machine.isolate(range(4299, 4400)).unwrap_err());
    assert_eq!(result, IsolateError::Unmovable { pfn: Pfn::new(4299), reason: Obstacle::Contig });
    drop(taken);
}
