//! The names of the historical accounting mistakes that a kernel with the feature `faults` has.
//!
//! The launcher knows them without building such a kernel, so that it can refuse another name at
//! once. A kernel with the feature does not compile if it has other names.

/// The names, as `fault=NAME` and `--fault NAME` have them. `unpatched` is several of the others.
pub const FAULTS: [&str; 14] = [
    "skipped-account",
    "guard-counted",
    "cached-type-at-spill",
    "stale-isolated",
    "stale-normal",
    "moved-means-found",
    "merge-across",
    "freed-block-only",
    "first-block-only",
    "guard-not-counted",
    "w2-window",
    "freed-while-moved-lost",
    "reported-before-acknowledged",
    "unpatched",
];

/// Whether two names are the same, for checks at compile time.
pub const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_names_are_the_same() {
        for (at, one) in FAULTS.iter().enumerate() {
            for (other_at, other) in FAULTS.iter().enumerate() {
                assert_eq!(same(one, other), at == other_at, "{one} and {other}");
            }
        }
        assert!(!same("guard", "guard-counted") && !same("guard-counted", "guard"));
    }
}
