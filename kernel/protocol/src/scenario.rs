//! What a boot of the kernel can be asked to do.

use core::fmt;

/// One story that the kernel can tell. The name is the same on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scenario {
    /// Contiguous allocations out of a CMA area while jobs use the memory.
    #[default]
    Cma,
    /// The same experiment with each historical accounting mistake put back.
    Faults,
    /// The same experiment under other accounting designs.
    Designs,
    /// Memory taken offline and online again under load.
    Hotplug,
    /// Instruction counts of the hot paths.
    Bench,
    /// The in-kernel test cases.
    Cases,
    /// The names of the in-kernel test cases.
    ListCases,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 7] =
        [Self::Cma, Self::Faults, Self::Designs, Self::Hotplug, Self::Bench, Self::Cases, Self::ListCases];

    /// The word for it on both command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cma => "cma",
            Self::Faults => "faults",
            Self::Designs => "designs",
            Self::Hotplug => "hotplug",
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
