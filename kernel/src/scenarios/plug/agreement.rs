//! What must be the same after each change: the blocks of the driver, the size of the device, and
//! the pages that the allocator manages.

use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::scenarios::plug::outcome::Outcome;
use crate::scenarios::plug::window::{BLOCK, BLOCK_MIB, Window};

/// Records what is not the same. `beside` is the number of pages that are managed beside the
/// window.
pub(super) fn check(outcome: &mut Outcome, window: &mut Window, beside: usize) {
    let (plugged, records) = (window.plugged(), window.record_blocks());
    match window.device().config() {
        Ok(config) => {
            let bytes = config.plugged;
            if bytes != (plugged as u64 * BLOCK_MIB) << 20 {
                outcome.broken(format_args!("{plugged} blocks are plugged, {bytes} bytes for the host"));
            }
            if let Err(block) = window.ask_the_device(outcome.resizes as usize, &config) {
                outcome.broken(format_args!("the host has another state of the block at {block}"));
            }
        }
        Err(error) => outcome.broken(format_args!("the configuration: {error}")),
    }
    let (managed, expected) = (allocator().managed_count(), beside + (plugged - records) * BLOCK);
    if managed != expected {
        outcome.broken(format_args!("{managed} pages are managed instead of {expected}"));
    }
    audit_log::audit_now();
    if let Err(violation) = allocator().verify() {
        outcome.broken(format_args!("verify: {violation}"));
    }
}
