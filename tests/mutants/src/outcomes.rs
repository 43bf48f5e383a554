//! What the tests made of each mutant: `target/mutants/outcomes.txt`.
//!
//! The first line is the fingerprint of what was tested; each other line is an outcome, written as
//! soon as it is known. So a run that was interrupted can go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fmt, iter};

use crate::trial::Outcome;

/// A mutant's name without its line and column, which change with the file.
pub(crate) fn place(name: &str) -> String {
    let mut parts = name.splitn(4, ':');
    [parts.next(), parts.nth(2)].into_iter().flatten().collect()
}

/// The outcomes of a run. A run that only looks at them has no file.
pub(crate) struct Outcomes {
    file: Option<File>,
    fingerprint: String,
    /// What an outcome begins with (`missed`, `hung` or `caught by` a test), and the mutant's name.
    lines: Vec<(String, String)>,
}

fn path(repository: &Path) -> PathBuf {
    repository.join("target/mutants/outcomes.txt")
}

impl Outcomes {
    /// Those of the last run.
    pub(crate) fn read(repository: &Path) -> Self {
        let text = fs::read_to_string(path(repository)).expect("outcomes of the last run");
        let (fingerprint, rest) = text.split_once('\n').expect("a fingerprint");
        let lines = rest.lines().filter_map(|line| line.split_once(": "));
        let lines = lines.map(|(outcome, name)| (outcome.to_owned(), name.to_owned())).collect();
        Self { file: None, fingerprint: fingerprint.to_owned(), lines }
    }

    /// Those of a new run. If `resume`, that goes on with the last one; panics if that tested
    /// something else. If `again`, it keeps what tests noticed in the last one.
    pub(crate) fn begin(repository: &Path, fingerprint: &str, resume: bool, again: bool) -> Self {
        let mut lines = Vec::new();
        if resume || again {
            let last = Self::read(repository);
            assert!(
                again || last.fingerprint == fingerprint,
                "the source or the tests are not those of the last run"
            );
            let noticed = last.noticed();
            lines = last.lines;
            lines.retain(|(_, name)| !again || noticed.contains(&place(name)));
        }
        let path = path(repository);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        writeln!(file, "{fingerprint}").unwrap();
        for (outcome, name) in &lines {
            writeln!(file, "{outcome}: {name}").unwrap();
        }
        Self { file: Some(file), fingerprint: fingerprint.to_owned(), lines }
    }

    /// The places of the mutants that a test has noticed, if none of that place was missed: a
    /// change that can be made twice in a function has one place.
    pub(crate) fn noticed(&self) -> BTreeSet<String> {
        let (missed, noticed): (Vec<_>, Vec<_>) =
            self.lines.iter().partition(|(outcome, _)| outcome == "missed");
        let missed: BTreeSet<_> = missed.into_iter().map(|(_, name)| place(name)).collect();
        noticed.into_iter().map(|(_, name)| place(name)).filter(|place| !missed.contains(place)).collect()
    }

    pub(crate) fn has(&self, mutant: &str) -> bool {
        self.lines.iter().any(|(_, name)| name == mutant)
    }

    pub(crate) fn add(&mut self, outcome: &Outcome, mutant: &str) {
        let outcome = outcome.to_string();
        if let Some(file) = &mut self.file {
            writeln!(file, "{outcome}: {mutant}").unwrap();
        }
        self.lines.push((outcome, mutant.to_owned()));
    }

    pub(crate) fn missed(&self) -> usize {
        self.lines.iter().filter(|(outcome, _)| outcome == "missed").count()
    }
}

/// A table by file: mutants, those that a failing test caught, those that hung, and those missed.
impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut files = BTreeMap::<&str, [usize; 3]>::new();
        for (outcome, name) in &self.lines {
            let column = match outcome.as_str() {
                "missed" => 2,
                "hung" => 1,
                _ => 0,
            };
            let file = name.split(':').next().unwrap_or("");
            files.entry(file).or_default()[column] += 1;
        }
        let sum = files.values().fold([0; 3], |sum, row| [0, 1, 2].map(|column| sum[column] + row[column]));
        writeln!(f, "mutants  caught  hung  missed")?;
        for (file, row) in files.iter().chain(iter::once((&"all", &sum))) {
            let [caught, hung, missed] = row;
            writeln!(f, "{:7}  {caught:6}  {hung:4}  {missed:6}  {file}", row.iter().sum::<usize>())?;
        }
        Ok(())
    }
}
