//! Floor 10: handles that own frames, and free them when they are dropped.

mod block;
mod exact;

pub use block::Pages;
pub use exact::ExactPages;
pub(crate) use exact::free_exact;
