//! Historical accounting mistakes that tests switch on to see them found.
//!
//! Without the `faults` feature [`FaultSwitch`] is empty, [`fault!`] is the constant `false`, and none
//! of the marked points leaves code behind. With it, each mistake is one `if fault!(..)` at the place
//! where history made it. Nothing in the crate switches a fault on by itself.

#[cfg(feature = "faults")]
mod on {
    use crate::sync::{AtomicU32, Ordering};

    bitflags::bitflags! {
        /// A set of mistakes.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Faults: u32 {
            /// One line of accounting is left out: a block of order 0 that joins a buddy list on free
            /// is not counted. Drift: −1 page for each.
            const SKIPPED_ACCOUNT = 1 << 0;
        }
    }

    impl Faults {
        /// The name used on command lines: lower case, words joined by `-`.
        pub fn by_name(name: &str) -> Option<Self> {
            Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
        }

        /// Every fault with its command-line name.
        pub const NAMES: &'static [(&'static str, Self)] = &[("skipped-account", Self::SKIPPED_ACCOUNT)];
    }

    /// The faults that are switched on, changeable at any time from any CPU.
    #[derive(Debug)]
    pub(crate) struct FaultSwitch(AtomicU32);

    impl FaultSwitch {
        pub(crate) fn new() -> Self {
            Self(AtomicU32::new(0))
        }

        pub(crate) fn set(&self, faults: Faults) {
            self.0.store(faults.bits(), Ordering::Relaxed);
        }

        pub(crate) fn is_on(&self, fault: Faults) -> bool {
            self.0.load(Ordering::Relaxed) & fault.bits() != 0
        }
    }
}

#[cfg(feature = "faults")]
pub(crate) use on::FaultSwitch;
#[cfg(feature = "faults")]
pub use on::Faults;

/// Nothing: faults are compiled out.
#[cfg(not(feature = "faults"))]
#[derive(Debug)]
pub(crate) struct FaultSwitch;

#[cfg(not(feature = "faults"))]
impl FaultSwitch {
    pub(crate) fn new() -> Self {
        Self
    }
}

/// Whether a mistake is switched on: `fault!(mem, NAME)`.
#[cfg(feature = "faults")]
macro_rules! fault {
    ($mem:expr, $name:ident) => {
        $mem.faults.is_on($crate::faults::Faults::$name)
    };
}

#[cfg(not(feature = "faults"))]
macro_rules! fault {
    ($mem:expr, $name:ident) => {
        false
    };
}

pub(crate) use fault;
