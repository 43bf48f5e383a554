//! Floor 8: what a kernel hands over at boot: its memory map, and memory for the records.

pub(crate) mod memory_map;
pub(crate) mod metadata;
pub(crate) mod zeroed;
