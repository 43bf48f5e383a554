//! Adapters to other crates, each behind a feature that has the version of that crate in its name.
//!
//! No other module of the crate uses them.

#[cfg(feature = "bootloader_09")]
mod bootloader;
#[cfg(feature = "bootloader_api_011")]
mod bootloader_api;
#[cfg(all(
    test,
    any(
        feature = "bootloader_09",
        feature = "bootloader_api_011",
        feature = "limine_06",
        feature = "multiboot2_028",
        feature = "uefi_041"
    )
))]
mod field_maps;
#[cfg(feature = "limine_06")]
mod limine;
#[cfg(feature = "multiboot2_028")]
mod multiboot2;
#[cfg(any(
    feature = "bootloader_09",
    feature = "bootloader_api_011",
    feature = "limine_06",
    feature = "multiboot2_028",
    feature = "uefi_041"
))]
mod regions;
#[cfg(feature = "uefi_041")]
mod uefi;
#[cfg(feature = "virtio_drivers_013")]
mod virtio_drivers;
#[cfg(feature = "x86_64_015")]
mod x86_64;

#[cfg(feature = "virtio_drivers_013")]
pub use virtio_drivers::{VirtioHal, VirtioMemory};
#[cfg(feature = "x86_64_015")]
pub use x86_64::{NotA4KiBFrame, PageTableFrames};
