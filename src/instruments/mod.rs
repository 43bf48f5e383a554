//! Floor 3: switches for tests: historical accounting mistakes, and other accounting designs.
//!
//! Every query is an inlined method that starts with `cfg!(feature = ..)`. So the code behind it is
//! type-checked in every build, and is in no build without its feature; a test of an optimised
//! build checks its symbols. That code is in [`buddy::legacy`](crate::buddy),
//! [`buddy::misfiled`](crate::buddy), [`buddy::parking`](crate::buddy) and
//! [`isolation::ledger`](crate::isolation).

pub(crate) mod design;
pub(crate) mod faults;

pub(crate) use design::Design;
pub(crate) use faults::{FaultSwitch, Faults, StaleKind, YieldPoint};
