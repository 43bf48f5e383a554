//! The command line, which is passed as the ramdisk.
//!
//! `bootloader_api` has no command line, but loads a ramdisk. So a disk image can contain the
//! command line as its ramdisk, and `pvh` passes QEMU's `-append` in the same way. No ramdisk is an
//! empty command line.

#![expect(unsafe_code, reason = "the boot protocol gives an address")]

use core::ptr;
use core::slice;
use core::str::{self, Utf8Error};

use bootloader_api::BootInfo;

/// The command line, if it is valid UTF-8.
pub(crate) fn of(boot_info: &BootInfo) -> Result<&'static str, Utf8Error> {
    let Some(address) = boot_info.ramdisk_addr.into_option() else {
        return Ok("");
    };
    let start = ptr::with_exposed_provenance(address as usize);
    // SAFETY: by the boot protocol the ramdisk stays mapped there, and nothing writes to it.
    str::from_utf8(unsafe { slice::from_raw_parts(start, boot_info.ramdisk_len as usize) })
}
