//! Floor 13: hotplug of pageblocks, and frames that are reserved or added after boot.
//!
//! | file | what it has |
//! |---|---|
//! | [`notifier`] | callbacks to the kernel before and after a range goes offline or online |
//! | [`error`] | why a range did not go offline or online |
//! | [`mod@offline`] | takes pageblocks offline, brings them online again, or removes them |
//! | [`mod@soft_offline`] | retires a bad frame |
//! | [`hand_over`] | reserves free frames, and adds memory |
//! | [`records`] | makes and removes the records of memory that the machine did not have at boot |

mod error;
mod hand_over;
mod notifier;
mod offline;
mod records;
mod soft_offline;

pub use error::HotplugError;
pub use hand_over::HandOverError;
pub(crate) use hand_over::{add_memory, reserve};
pub use notifier::{HotplugNotifier, NoNotifier, Veto};
pub use offline::OfflineRange;
pub(crate) use offline::{offline, offline_dry_run, online, online_raw, remove_memory};
pub use records::{RecordsError, RemovedRecords};
pub(crate) use records::{add_records, records_layout, remove_records};
pub use soft_offline::SoftOffline;
pub(crate) use soft_offline::soft_offline_page;
