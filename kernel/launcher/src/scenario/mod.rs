//! The scenarios: what each needs, what it reports, and what a run of it shows.
//!
//! Files, the lowest first: `spec`, `table`, `judgement`.

pub(crate) mod judgement;
pub(crate) mod spec;
pub(crate) mod table;

pub use judgement::Judgement;
pub use spec::{Cpus, Cycle, ScenarioSpec, Setting};
pub use table::{SCENARIOS, find};
