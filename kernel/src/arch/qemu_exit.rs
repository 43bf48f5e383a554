//! Ends QEMU through its `isa-debug-exit` device.

#![expect(unsafe_code, reason = "port I/O")]

use pageblock_protocol::ExitCode;
use pageblock_protocol::exit::DEBUG_EXIT_PORT;
use x86_64::instructions::port::Port;
use x86_64::instructions::{hlt, interrupts};

/// Ends QEMU with `code`. On a machine without the device, halts this CPU.
pub(crate) fn exit(code: ExitCode) -> ! {
    // SAFETY: only this device uses the port, on machines that have it.
    unsafe { Port::<u32>::new(DEBUG_EXIT_PORT).write(code.value()) };
    interrupts::disable();
    loop {
        hlt();
    }
}
