//! Standard output and standard error, either of which may be closed or full.

use std::fmt;
use std::io::{self, Write as _};

/// Prints a line to standard output.
///
/// # Errors
///
/// What the operating system says: that the disk is full, for instance.
pub(crate) fn print(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints a line to standard error. If that fails, there is nowhere to say so.
pub fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}
