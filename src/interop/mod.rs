//! Adapters to other crates, each behind a feature that carries that crate's version.
//!
//! Nothing here is needed by, or known to, the rest of the crate.

#[cfg(feature = "bootloader_api_011")]
mod bootloader_api;
#[cfg(feature = "x86_64_015")]
mod x86_64;

#[cfg(feature = "x86_64_015")]
pub use x86_64::{NotA4KiBFrame, PageTableFrames};
