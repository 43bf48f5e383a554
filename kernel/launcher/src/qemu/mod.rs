//! QEMU: the hardware it emulates, its acceleration, its command line, how it is installed.
//!
//! Files, the lowest first: `accel`, `machine`, `device`, `monitor`, `install`, `emulator`.

pub(crate) mod accel;
pub(crate) mod device;
pub(crate) mod emulator;
pub(crate) mod install;
pub(crate) mod machine;
pub(crate) mod monitor;

pub use accel::{Accel, AccelChoice, Clock, NoKvm};
pub use device::{Device, NoDevice};
pub use emulator::{NoQemu, PROGRAM, Qemu};
pub use machine::{Debugger, Machine, Peripherals, Screen};
pub use monitor::{Monitor, screenshot};
