//! The counts of events, in the form of `/proc/vmstat`.

use core::fmt;

use crate::base::{Geometry, Platform, ZoneKind};
use crate::buddy::ZoneEvents;
use crate::page_allocator::{MachineEvents, PageAllocator};

/// The events since boot. `Display` prints a line for each, as `/proc/vmstat` does: the sums of the
/// zones, then the events of the machine. Names are those of Linux where it counts the same.
///
/// There is no `pgalloc` and no `pgfree`: an allocation from a pcplist and a free to one are not
/// counted, because that would cost an instruction in each of them. What is counted is exact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VmStat {
    /// The events of the zones, lowest first. Those of one zone are of one moment.
    pub zones: [ZoneEvents; ZoneKind::COUNT],
    /// The events of the machine. Each is exact by itself; two of them may be of different moments.
    pub machine: MachineEvents,
}

impl VmStat {
    /// The sums of the events of all zones.
    #[must_use]
    pub fn total(&self) -> ZoneEvents {
        self.zones.iter().fold(ZoneEvents::default(), |sum, zone| sum.plus(*zone))
    }
}

impl fmt::Display for VmStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.total().counts().chain(self.machine.counts()) {
            writeln!(f, "{name} {count}")?;
        }
        Ok(())
    }
}

pub(crate) fn vmstat<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>) -> VmStat {
    let zones = allocator.zones().each_ref();
    VmStat {
        zones: zones.map(|zone| allocator.in_zone(zone, |inner| *inner.buddy.events())),
        machine: allocator.events().read(),
    }
}
