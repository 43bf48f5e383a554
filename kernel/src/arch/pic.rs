//! The legacy interrupt controllers (PIC), which stay masked because the local APICs are used.

#![expect(unsafe_code, reason = "port I/O")]

use x86_64::instructions::port::Port;

const FIRST_MASK: u16 = 0x21;
const SECOND_MASK: u16 = 0xa1;

/// Masks all lines of both controllers.
pub(crate) fn mask_all() {
    for port in [FIRST_MASK, SECOND_MASK] {
        // SAFETY: writing the mask register only disables interrupts.
        unsafe { Port::<u8>::new(port).write(0xff) };
    }
}
