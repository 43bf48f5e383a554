//! The old interrupt controllers: silenced, because the local APICs do the work.

#![expect(unsafe_code, reason = "port I/O")]

use x86_64::instructions::port::Port;

const FIRST_MASK: u16 = 0x21;
const SECOND_MASK: u16 = 0xa1;

/// Masks every line of both.
pub(crate) fn silence() {
    for port in [FIRST_MASK, SECOND_MASK] {
        // SAFETY: writing the mask register only keeps interrupts away.
        unsafe { Port::<u8>::new(port).write(0xff) };
    }
}
