//! The mutants that no test can notice, or that need not be noticed, from `explained.txt`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::mutant::Mutant;

/// What is not an explanation: a file, the change, and a part of the line that is changed.
struct Entry<'a> {
    file: &'a str,
    change: &'a str,
    line: &'a str,
}

/// The numbers of the mutants that are explained. Panics if entries name none, because they are
/// then about code that is not there any more.
pub(crate) fn explained(repository: &Path, mutants: &[Mutant]) -> BTreeSet<u32> {
    let text = fs::read_to_string(repository.join("tests/mutants/explained.txt")).expect("the list");
    let (mut numbers, mut of_none) = (BTreeSet::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts: Vec<_> = line.splitn(3, ": ").collect();
        let &[file, change, part] = parts.as_slice() else {
            panic!("not `file: change: line`: {line}");
        };
        let entry = Entry { file, change, line: part };
        let source = fs::read_to_string(repository.join(file)).unwrap_or_else(|_| panic!("no file {file}"));
        let lines: Vec<_> = source.lines().collect();
        let before = numbers.len();
        let matching = mutants.iter().filter(|mutant| entry.matches(mutant, &lines));
        numbers.extend(matching.map(|mutant| mutant.number));
        if numbers.len() == before {
            of_none.push(line);
        }
    }
    assert!(of_none.is_empty(), "no mutants are like these:\n{}", of_none.join("\n"));
    numbers
}

impl Entry<'_> {
    fn matches(&self, mutant: &Mutant, lines: &[&str]) -> bool {
        let change = mutant.name.split_once(": ").map_or("", |(_, change)| change);
        let line = lines.get(mutant.span.start.line - 1).copied().unwrap_or("");
        mutant.file == self.file && change == self.change && line.contains(self.line)
    }
}
