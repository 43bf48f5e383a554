//! Floor 8: the input at boot: the memory map, and the memory for the records.

mod memory_map;
mod metadata;
mod zeroed;

pub use memory_map::MemoryMap;
pub use metadata::Metadata;
