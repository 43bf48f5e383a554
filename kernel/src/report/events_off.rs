//! The last events of the allocator, in a kernel without the feature `trace`: there are none.

use pageblock::{PageAllocator, Platform};
use pageblock_protocol::Line;

/// Keeps nothing.
pub(crate) fn keep<P: Platform>(_: &PageAllocator<'_, P>) {}

/// Keeps nothing, and reports nothing.
pub(crate) fn keep_all<P: Platform>(_: &PageAllocator<'_, P>) {}

/// No event has happened that was kept.
pub(crate) fn count() -> u64 {
    0
}

/// Reports nothing.
pub(crate) fn report(_: fn(Line<'_>)) {}
