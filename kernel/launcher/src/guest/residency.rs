//! The memory that a guest uses and the memory that the host holds for it, over time.

/// What a boot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The guest does nothing: what QEMU and the kernel need.
    Idle,
    /// Free memory is not reported to the host.
    Without,
    /// Free memory is reported to the host.
    With,
}

/// What was so at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The time since the demand began, in milliseconds.
    pub ms: u64,
    /// The memory that the guest has allocated, in KiB.
    pub used_kib: u64,
    /// The resident memory of QEMU, in KiB.
    pub resident_kib: u64,
}

/// The points of one boot, in the order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residency {
    /// What the boot is for.
    pub purpose: Purpose,
    /// The points.
    pub points: Vec<Point>,
}

/// The points of the boot for that purpose.
pub(crate) fn points(all: &[Residency], purpose: Purpose) -> &[Point] {
    all.iter().find(|one| one.purpose == purpose).map_or(&[], |one| &one.points)
}

/// The resident memory of an idle guest, in KiB: the most that was seen.
pub(crate) fn idle_kib(all: &[Residency]) -> Option<u64> {
    points(all, Purpose::Idle).iter().map(|point| point.resident_kib).max()
}

/// The resident memory over the memory in use, both averaged over time, without what an idle guest
/// has. `None` if one of the boots is missing.
pub fn resident_over_used(all: &[Residency], purpose: Purpose) -> Option<f64> {
    let (idle, points) = (idle_kib(all)?, points(all, purpose));
    let (mut used, mut resident) = (0.0, 0.0);
    for pair in points.windows(2) {
        let [from, to] = pair else { continue };
        let ms = to.ms.saturating_sub(from.ms) as f64;
        used += from.used_kib as f64 * ms;
        resident += from.resident_kib.saturating_sub(idle) as f64 * ms;
    }
    (used > 0.0).then(|| resident / used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(purpose: Purpose, points: &[(u64, u64, u64)]) -> Residency {
        let point = |&(ms, used_kib, resident_kib)| Point { ms, used_kib, resident_kib };
        Residency { purpose, points: points.iter().map(point).collect() }
    }

    #[test]
    fn the_ratio_is_that_of_the_averages_over_time() {
        let idle = boot(Purpose::Idle, &[(0, 4, 90), (10, 4, 100)]);
        let with = boot(Purpose::With, &[(0, 100, 200), (30, 50, 200), (40, 0, 900)]);
        let all = [idle, with];
        assert_eq!(resident_over_used(&all, Purpose::With), Some(4000.0 / 3500.0));
        assert_eq!(resident_over_used(&all, Purpose::Without), None);
        assert_eq!(resident_over_used(&all[1..], Purpose::With), None, "nothing to subtract");
    }
}
