//! What a run found, for people, for programs and for pages.

pub(crate) mod json;
mod panel;
pub(crate) mod plot;
pub(crate) mod table;
