//! Floor 8: what a kernel hands over at boot: its memory map, and memory for the records.

mod memory_map;
mod metadata;
mod zeroed;

pub use memory_map::MemoryMap;
pub use metadata::Metadata;
