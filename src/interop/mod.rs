//! Adapters to other crates, each behind a feature that has the version of that crate in its name.
//!
//! No other module of the crate uses them.

#[cfg(feature = "bootloader_api_011")]
mod bootloader_api;
#[cfg(feature = "x86_64_015")]
mod x86_64;

#[cfg(feature = "x86_64_015")]
pub use x86_64::{NotA4KiBFrame, PageTableFrames};
