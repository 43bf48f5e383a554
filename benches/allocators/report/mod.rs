//! The reports of a run: a table, a JSON object and a plot.

pub(crate) mod json;
mod panel;
pub(crate) mod plot;
pub(crate) mod table;
