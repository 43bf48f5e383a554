//! Floor 3: what tests switch on to compare with: historical mistakes and other accounting designs.
//!
//! This floor is the one seam for both. Each query starts with `cfg!(feature = ..)` in an inlined
//! method, so that the code behind it is type-checked in every build and compiled into none without
//! its feature; a test of an optimised build holds that. The code behind the queries stands where
//! the mistake was made: [`buddy::legacy`](crate::buddy), [`buddy::misfiled`](crate::buddy),
//! [`buddy::parking`](crate::buddy) and [`isolation::ledger`](crate::isolation).

pub(crate) mod design;
pub(crate) mod faults;

pub(crate) use design::Design;
pub(crate) use faults::{FaultSwitch, Faults, StaleKind, YieldPoint};
