//! The cells that the records of frames consist of.

use crate::sync::{AtomicU32, PlainU64};

pub(crate) type StateCell = AtomicU32;
/// The stored word of a frame: two links or the owner word, which no reader sees by halves.
pub(crate) type WordCell = PlainU64;

// A `struct page` of Linux has 64 bytes.
#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<StateCell>() + size_of::<WordCell>() == 12);
