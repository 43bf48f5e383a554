//! From power-on to `kernel_main` with a genuine [`BootInfo`], by either of two ways.
//!
//! - `entry`: the first instructions, for upstream's bootloader and for PVH.
//! - `pvh`: what QEMU's `-kernel` leaves in memory, turned into a `BootInfo`.
//! - `cmdline`: the command line, in which the two differ.
//!
//! [`BootInfo`]: bootloader_api::BootInfo

pub(crate) mod cmdline;
mod entry;
mod pvh;
