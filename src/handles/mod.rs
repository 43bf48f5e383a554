//! Floor 10: handles that own what they name, and free it when they are dropped.

pub(crate) mod block;
pub(crate) mod exact;
