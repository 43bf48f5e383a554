//! A build without the features `faults` and `designs` has no function of either.
//!
//! What is looked at is the kernel image: it is optimised, as every kernel that is shipped, and
//! uses every path of the library. Its line tables name each function that some code comes from,
//! also where that function was inlined, so that the bytes of the file are searched for names. The
//! images with the faults and with the designs have these names, which shows that the search would
//! find them.

use std::fs;

use pageblock_boots as boots;
use pageblock_launcher::image::Instruments;

/// Functions of the library that are called with the feature `faults` only.
///
/// A function that is
/// called without it as well, and then does nothing, is no mark: its name stays although its code
/// does not.
const OF_THE_FAULTS: [&str; 5] = [
    "count_found_as_moved",
    "gather_misfiled",
    "insert_with_lower_half",
    "merge_legacy",
    "undo_first_block_only",
];

/// The same for the feature `designs`.
const OF_THE_DESIGNS: [&str; 4] = ["correct_free", "set_design", "subtract_in_all", "unpark"];

/// A function of the library that every image has.
const OF_THE_LIBRARY: &str = "alloc_pages";

/// Which of these names are in the image.
fn found<'n>(instruments: Instruments, names: &[&'n str]) -> Vec<&'n str> {
    let image = fs::read(boots::image(instruments)).expect("the image can be read");
    let holds = |name: &str| image.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    assert!(holds(OF_THE_LIBRARY), "the image has no names of functions");
    names.iter().copied().filter(|name| holds(name)).collect()
}

#[test]
fn the_default_build_has_no_function_of_a_fault_or_a_design() {
    let found = found(Instruments::None, &[OF_THE_FAULTS.as_slice(), &OF_THE_DESIGNS].concat());
    assert!(found.is_empty(), "{found:?} in a build without the features");
}

#[test]
fn the_build_with_faults_has_functions_of_every_fault() {
    assert_eq!(found(Instruments::Faults, &OF_THE_FAULTS), OF_THE_FAULTS);
}

#[test]
fn the_build_with_designs_has_functions_of_every_design() {
    assert_eq!(found(Instruments::Designs, &OF_THE_DESIGNS), OF_THE_DESIGNS);
}
