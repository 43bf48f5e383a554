//! The boot code: from power-on to `kernel_main` with a [`BootInfo`], by either of two protocols.
//!
//! | file | what |
//! |---|---|
//! | `config` | what the kernel requests from the `bootloader` crate |
//! | `pvh` | makes a `BootInfo` from the structures of the PVH boot protocol (QEMU's `-kernel`) |
//! | `entry` | the first instructions, for the `bootloader` crate and for PVH |
//! | `cmdline` | the command line |
//!
//! [`BootInfo`]: bootloader_api::BootInfo

pub(crate) mod cmdline;
pub(crate) mod config;
#[cfg(feature = "image")]
mod entry;
mod pvh;
