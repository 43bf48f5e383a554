//! Each historical fault, at the interleaving that shows it: the drift is what history had, and
//! none with the fault off.

mod guards;
mod merges;
mod moves;
mod pcplists;
mod stale_reads;
