//! What the user gets: a progress bar while it works ([`progress`]), a table
//! when it is done ([`table`]), the same as JSON ([`json`]), and the guest's last
//! lines when it went wrong ([`post_mortem`]).

pub mod json;
pub mod post_mortem;
pub mod progress;
pub mod table;

use crate::arguments::Arguments;
use crate::boot::Outcome;
use crate::judgement::Judgement;
use crate::scenarios::Story;

/// A run that is over: everything there is to report.
#[derive(Clone, Copy, Debug)]
pub struct Run<'r> {
    /// What was to be shown.
    pub story: &'r Story,
    /// How.
    pub arguments: &'r Arguments,
    /// What happened.
    pub outcome: &'r Outcome,
    /// What that shows.
    pub judgement: &'r Judgement,
}
