//! The plot for a page.

use crate::results::Results;
use std::path::Path;

/// Writes `path`, an SVG file.
pub(crate) fn write(
    _path: &Path,
    _results: &Results,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Err("not yet".into())
}
