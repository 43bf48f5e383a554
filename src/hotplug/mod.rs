//! Floor 13: memory that comes and goes: hot-remove, hot-add, and memory that is handed over late.
//!
//! | file | what it has |
//! |---|---|
//! | [`notifier`] | what the kernel is told, and may refuse |
//! | [`error`] | why a range did not go offline or online |
//! | [`offline`] | takes pageblocks offline, and brings them back |
//! | [`hand_over`] | reserves free frames, and adds memory |

pub(crate) mod error;
pub(crate) mod hand_over;
pub(crate) mod notifier;
pub(crate) mod offline;
