//! The pictures of a report, as SVG, drawn with plotters.
//!
//! Files, the lowest first: `canvas`, `drift`, `latency`, `orders`, `memory_map`, `shares`,
//! `costs`.

pub(crate) mod canvas;
pub(crate) mod costs;
pub(crate) mod drift;
pub(crate) mod latency;
pub(crate) mod memory_map;
pub(crate) mod orders;
pub(crate) mod shares;
