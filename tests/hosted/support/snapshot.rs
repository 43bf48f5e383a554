//! Everything that can be seen of a machine, to say that an operation changed nothing.

use pageblock::{AuditReport, Geometry, PageAllocator, PageTypeInfo, Platform, VerifyReport, ZoneInfo};

/// The machine as it was seen, all invariants checked.
#[derive(PartialEq, Debug)]
pub(crate) struct Snapshot {
    census: VerifyReport,
    audit: AuditReport,
    lists: PageTypeInfo,
    zones: ZoneInfo,
    published: [usize; 4],
}

/// Looks at a machine that nobody else uses just now. Panics if an invariant does not hold.
#[track_caller]
pub(crate) fn snapshot<P: Platform, G: Geometry>(machine: &PageAllocator<'_, P, G>) -> Snapshot {
    let mut zones = machine.zoneinfo();
    for zone in &mut zones.zones {
        // Looking takes the lock, too.
        zone.lock_holds = 0;
    }
    let census = machine.verify().unwrap();
    assert_eq!(machine.allocated_count(), census.total().allocated, "pages in use");
    Snapshot {
        census,
        audit: machine.audit(),
        lists: machine.pagetypeinfo(),
        zones,
        published: [
            machine.free_count(),
            machine.free_cma_count(),
            machine.isolated_count(),
            machine.managed_count(),
        ],
    }
}

/// Runs `f` and asserts that nothing that can be seen of the machine has changed.
#[track_caller]
pub(crate) fn unchanged<P: Platform, G: Geometry, R>(
    machine: &PageAllocator<'_, P, G>,
    f: impl FnOnce() -> R,
) -> R {
    let before = snapshot(machine);
    let result = f();
    assert_is_as_before(machine, &before);
    result
}

#[track_caller]
fn assert_is_as_before<P: Platform, G: Geometry>(machine: &PageAllocator<'_, P, G>, before: &Snapshot) {
    assert_eq!(&snapshot(machine), before, "the machine is not as it was");
}
