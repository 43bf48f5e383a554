//! Time: the TSC, whose frequency is measured once against the PIT.

mod clock;
mod pit;

pub(crate) use clock::{TICK_HZ, init, now_us, tsc, tsc_hz, wait_us};
