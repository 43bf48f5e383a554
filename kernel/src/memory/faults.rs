//! Historical accounting mistakes, switched on by name to show that the audits find them.
//!
//! Only an image that is built with the feature `faults` contains them.

use core::fmt;

/// The image contains no mistake of this name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownFault<'a>(&'a str);

impl fmt::Display for UnknownFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this image has no fault `{}`", self.0)
    }
}

/// Switches the mistake of that name on.
#[cfg(feature = "faults")]
pub(crate) fn switch_on(name: &str) -> Result<(), UnknownFault<'_>> {
    let fault = pageblock::Faults::by_name(name).ok_or(UnknownFault(name))?;
    crate::memory::page_allocator::allocator().set_faults(fault);
    Ok(())
}

/// Switches the mistake of that name on, which an image without the feature `faults` cannot.
#[cfg(not(feature = "faults"))]
pub(crate) fn switch_on(name: &str) -> Result<(), UnknownFault<'_>> {
    Err(UnknownFault(name))
}
