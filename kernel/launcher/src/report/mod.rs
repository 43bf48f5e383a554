//! What the user sees: a progress bar during the run, then a table and a JSON object with the same
//! results, or the guest's last lines after a failure.
//!
//! Files, the lowest first: `numbers`, `width`, `grid`, `run`, `events`, `plot`, `table`, `list`,
//! `json`, `pictures`, `figures`, `page`, `live`, `post_mortem`.

pub(crate) mod events;
pub(crate) mod figures;
pub(crate) mod grid;
pub(crate) mod json;
pub(crate) mod list;
pub(crate) mod live;
pub(crate) mod numbers;
pub(crate) mod page;
pub(crate) mod pictures;
pub(crate) mod plot;
pub(crate) mod post_mortem;
pub(crate) mod run;
pub(crate) mod table;
pub(crate) mod width;

pub use list::scenarios;
pub use post_mortem::PostMortem;
