//! The scenarios that a boot of the kernel can run.

use core::fmt;

/// A scenario. Its name is the same on the command lines of the launcher and of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scenario {
    /// Contiguous allocations from a CMA area while jobs use the memory.
    #[default]
    Cma,
    /// The same with a historical accounting mistake switched on.
    Faults,
    /// The same under other accounting designs.
    Designs,
    /// Memory that goes offline and online again under load.
    Hotplug,
    /// Everything at once, for as long as it is asked for.
    Soak,
    /// Buffers for a device from a CMA area while jobs use the memory.
    Dma,
    /// Free memory that goes back to the host while the demand rises and falls.
    Balloon,
    /// Memory that the host lends, in sizes that change under load.
    Plug,
    /// Instruction counts of allocator operations.
    Bench,
    /// The in-kernel test cases.
    Cases,
    /// The names of the in-kernel test cases.
    ListCases,
}

impl Scenario {
    /// All scenarios.
    pub const ALL: [Self; 11] = [
        Self::Cma,
        Self::Faults,
        Self::Designs,
        Self::Hotplug,
        Self::Soak,
        Self::Dma,
        Self::Balloon,
        Self::Plug,
        Self::Bench,
        Self::Cases,
        Self::ListCases,
    ];

    /// The name of the scenario.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cma => "cma",
            Self::Faults => "faults",
            Self::Designs => "designs",
            Self::Hotplug => "hotplug",
            Self::Soak => "soak",
            Self::Dma => "dma",
            Self::Balloon => "balloon",
            Self::Plug => "plug",
            Self::Bench => "bench",
            Self::Cases => "cases",
            Self::ListCases => "list-cases",
        }
    }

    /// The scenario of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::from_name(scenario.name()), Some(scenario));
        }
        assert_eq!(Scenario::from_name("cmaa"), None);
        assert_eq!(Scenario::from_name(""), None);
    }
}
