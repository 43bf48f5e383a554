//! The experiments that a boot can run, one folder each, and what they share.
//!
//! | file | what |
//! |---|---|
//! | `verdict` | how a scenario ends: with a verdict, or with a refusal to run |
//! | `latency` | percentiles of durations |
//! | `audit_log` | the record of all audits of a run |
//! | `refusals` | the frames that were in the way of requests |
//! | `frames` | frames that a scenario has allocated: filled and checked |
//! | `auditing_migration` | migration with audits in between |
//! | `memory_map` | what each pageblock is |
//! | `screen` | the map and the counters on the display |
//! | `memory_samples` | what memory looks like, for the pictures of a report |
//! | `load` | the background load: jobs, interrupts, audits |
//! | `cma`, `faults`, `designs`, `hotplug`, `dma`, `balloon`, `plug`, `soak`, `bench` | the scenarios |
//! | `dispatch` | finds the scenario that the command line names |

mod audit_log;
mod auditing_migration;
mod balloon;
mod bench;
mod cma;
#[cfg(feature = "designs")]
mod designs;
mod dispatch;
mod dma;
#[cfg(feature = "faults")]
mod faults;
mod frames;
mod hotplug;
mod latency;
mod load;
mod memory_map;
mod memory_samples;
mod plug;
mod refusals;
mod screen;
mod soak;
mod verdict;

pub(crate) use dispatch::{run, tuning};
pub(crate) use verdict::Refused;
