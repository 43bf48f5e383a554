//! Floor 8: the input at boot: the memory map, and the memory for the records, then and later.

mod arrays;
mod chunk;
mod memory_map;
mod metadata;
mod zeroed;

pub(crate) use chunk::{chunk_layout, make_chunk};
pub use memory_map::MemoryMap;
pub use metadata::Metadata;
