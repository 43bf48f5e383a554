//! The pictures of a report, as SVG, drawn with plotters.
//!
//! Files, the lowest first: `canvas`, `drift`, `latency`, `orders`, `shares`, `costs`.

pub(crate) mod canvas;
pub(crate) mod costs;
pub(crate) mod drift;
pub(crate) mod latency;
pub(crate) mod orders;
pub(crate) mod shares;
