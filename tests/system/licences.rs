//! Every dependency, of whichever package here, has a licence that `deny.toml` allows.
//!
//! The workflow of the forge asks `cargo-deny`, which also knows of advisories. This test needs
//! nothing but cargo, and says at once what a new dependency would say there.

use crate::package::{cargo, succeed};

const DENY: &str = include_str!("../../deny.toml");

/// The licences in the list `allow` of `deny.toml`.
fn allowed() -> Vec<&'static str> {
    let (_, list) = DENY.split_once("\nallow = [").expect("a list of licences");
    let (list, _) = list.split_once(']').expect("the end of the list");
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether allowed licences meet the expression: all parts of an AND, one part of an OR.
///
/// Parentheses stand around an OR, as SPDX binds AND more tightly.
fn is_met(expression: &str, allowed: &[&str]) -> bool {
    expression.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']);
        part.split(" OR ").flat_map(|part| part.split('/')).any(|licence| allowed.contains(&licence))
    })
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let tree = succeed(&mut cargo(&["tree", "--workspace", "--prefix", "none", "--format", "{l}: {p}"]));
    let allowed = allowed();
    let mut others: Vec<&str> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| line.split_once(": ").is_some_and(|(licence, _)| !is_met(licence, &allowed)))
        .collect();
    others.dedup();
    assert!(tree.lines().count() > 100 && others.is_empty(), "{others:#?}");
    assert!(!is_met("GPL-3.0-only", &allowed) && !is_met("(MIT OR X) AND Y", &allowed));
}
