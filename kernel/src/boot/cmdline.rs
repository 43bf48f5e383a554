//! The command line: what `-append` gave under PVH, or nothing from a disk image.
//!
//! [`super::pvh`] stores it; whoever configures the kernel reads it.

use heapless::String;
use spin::Once;

/// Longer command lines are cut off.
pub(crate) const MAX_BYTES: usize = 2048;

static COMMAND_LINE: Once<String<MAX_BYTES>> = Once::new();

/// The command line, empty if there was none.
pub(crate) fn get() -> &'static str {
    COMMAND_LINE.get().map_or("", |line| line)
}

/// Stores a copy of `line`, once.
pub(super) fn set(line: &str) {
    COMMAND_LINE.call_once(|| {
        let mut copy = String::new();
        for c in line.chars() {
            if copy.push(c).is_err() {
                break;
            }
        }
        copy
    });
}
