//! The message of `--gdb`.

use std::path::Path;

use crate::host::streams::say;
use crate::qemu::machine::Debugger;

/// Tells the user how to start the debugger, if the guest waits for one.
pub(crate) fn announce_debugger(debugger: Debugger, image: &Path) {
    if let Debugger::Wait { port } = debugger {
        say(format_args!(
            "The guest waits for a debugger. Start one in another terminal:\n  \
             gdb -ex 'target remote :{port}' -ex 'hbreak kernel_main' -ex continue {}",
            image.display()
        ));
    }
}
