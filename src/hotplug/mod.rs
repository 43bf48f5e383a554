//! Floor 13: memory that comes and goes: hot-remove, hot-add, and memory that is handed over late.
//!
//! | file | what it has |
//! |---|---|
//! | [`notifier`] | what the kernel is told, and may refuse |
//! | [`error`] | why a range did not go offline or online |
//! | [`offline`] | takes pageblocks offline, and brings them back |
//! | [`hand_over`] | reserves free frames, and adds memory |

mod error;
mod hand_over;
mod notifier;
mod offline;

pub use error::HotplugError;
pub use hand_over::HandOverError;
pub(crate) use hand_over::{add_memory, reserve};
pub use notifier::{HotplugNotifier, NoNotifier, Veto};
pub use offline::OfflineRange;
pub(crate) use offline::{offline, offline_dry_run, online, online_raw};
