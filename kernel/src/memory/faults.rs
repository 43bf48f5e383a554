//! Accounting mistakes, switched on by name, to see that the audits find them.
//!
//! Only an image built with the feature `faults` has any.

use core::fmt;

/// There is no such mistake in this image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownFault<'a>(&'a str);

impl fmt::Display for UnknownFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this image has no fault `{}`", self.0)
    }
}

/// Makes the allocator count wrong from now on.
#[cfg(feature = "faults")]
pub(crate) fn switch_on(name: &str) -> Result<(), UnknownFault<'_>> {
    let fault = pageblock::Faults::by_name(name).ok_or(UnknownFault(name))?;
    super::allocator().set_faults(fault);
    Ok(())
}

/// Makes the allocator count wrong from now on.
#[cfg(not(feature = "faults"))]
pub(crate) fn switch_on(name: &str) -> Result<(), UnknownFault<'_>> {
    Err(UnknownFault(name))
}
