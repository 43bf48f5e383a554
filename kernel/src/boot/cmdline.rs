//! The command line: the ramdisk, of all things.
//!
//! `bootloader_api` knows no command line, but it hands over a file next to the kernel. So a disk image
//! can carry what QEMU's `-append` says, and [`super::pvh`] passes that on as a ramdisk. No ramdisk is
//! an empty command line.

#![expect(unsafe_code, reason = "the boot protocol gives an address")]

use core::ptr;
use core::slice;
use core::str::{self, Utf8Error};

use bootloader_api::BootInfo;

/// The command line, if it is text.
pub(crate) fn of(boot_info: &BootInfo) -> Result<&'static str, Utf8Error> {
    let Some(address) = boot_info.ramdisk_addr.into_option() else {
        return Ok("");
    };
    let start = ptr::with_exposed_provenance(address as usize);
    // SAFETY: by the boot protocol the ramdisk is mapped there, for good, and nobody writes to it.
    str::from_utf8(unsafe { slice::from_raw_parts(start, boot_info.ramdisk_len as usize) })
}
