//! The copy of the repository that has all mutants, and the programs that are built from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::mutant::Mutant;
use crate::rewrite::{Rewritten, rewrite};

/// What the copy's `lib.rs` has in addition. `const_eval_select` lets constant functions ask, too.
const SWITCH: &str = r#"
extern crate std;

/// The number of the mutant that runs.
pub(crate) const fn mutant() -> u32 {
    const fn none() -> u32 {
        0
    }
    fn chosen() -> u32 {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static CHOSEN: AtomicU32 = AtomicU32::new(u32::MAX);
        let mut chosen = CHOSEN.load(Relaxed);
        if chosen == u32::MAX {
            chosen = std::env::var("PAGEBLOCK_MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            CHOSEN.store(chosen, Relaxed);
        }
        chosen
    }
    core::intrinsics::const_eval_select((), none, chosen)
}
"#;

/// Features that have code and tests of their own.
const FEATURES: &str = "--features=page_owner,trace";

/// Geometries that the copy's tests do not run with, because each is a copy of the library to
/// compile: others have blocks that span pageblocks, and pageblocks of several blocks.
const LEFT_OUT: &[&str] = &["even", "x86_64"];

/// The copy, before it is built.
pub(crate) struct Tree {
    repository: PathBuf,
    folder: PathBuf,
    mutants: Vec<Mutant>,
}

/// The test programs, and the mutants that are in them.
pub(crate) struct Built {
    pub(crate) unit_tests: PathBuf,
    pub(crate) hosted_tests: PathBuf,
    pub(crate) mutants: Vec<Mutant>,
}

impl Tree {
    pub(crate) fn new(repository: &Path, mutants: Vec<Mutant>) -> Self {
        let folder = repository.join("target/mutants");
        Self { repository: repository.to_owned(), folder, mutants }
    }

    /// What is tested: the library, its mutants, and the tests. `quick` is part of it.
    pub(crate) fn fingerprint(&self, quick: bool) -> String {
        let mut hasher = DefaultHasher::new();
        quick.hash(&mut hasher);
        self.mutants.iter().for_each(|mutant| (&mutant.name, &mutant.replacement).hash(&mut hasher));
        for folder in ["src", "tests/hosted"] {
            hash_folder(&self.repository.join(folder), &mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }

    /// Builds the tests of the copy, with every mutant that compiles.
    pub(crate) fn build(&self) -> Built {
        let copy = self.folder.join("copy");
        if copy.exists() {
            fs::remove_dir_all(&copy).unwrap();
        }
        copy_folder(&self.repository, &copy);
        let mut left_out = BTreeSet::new();
        loop {
            let rewritten = self.write(&copy, &left_out);
            let errors = self.errors(&copy);
            if errors.is_empty() {
                let placed = |mutant: &&Mutant| rewritten[&mutant.file].lines.contains_key(&mutant.number);
                let mutants = self.mutants.iter().filter(placed).cloned().collect();
                let [unit_tests, hosted_tests] =
                    ["pageblock", "hosted"].map(|program| self.program(&copy, program));
                return Built { unit_tests, hosted_tests, mutants };
            }
            for (file, line) in errors {
                let guilty = rewritten.get(&file).map_or(Vec::new(), |file| file.mutants_at(line));
                assert!(!guilty.is_empty(), "{file}:{line}: an error outside of mutants");
                left_out.extend(guilty);
            }
        }
    }

    /// Writes the source files that have mutants.
    fn write(&self, copy: &Path, left_out: &BTreeSet<u32>) -> BTreeMap<String, Rewritten> {
        let files: BTreeSet<_> = self.mutants.iter().map(|mutant| &mutant.file).collect();
        let mut all = BTreeMap::new();
        for file in files {
            let inside = |mutant: &&Mutant| mutant.file == *file && !left_out.contains(&mutant.number);
            let mutants: Vec<_> = self.mutants.iter().filter(inside).collect();
            let rewritten = rewrite(&fs::read_to_string(self.repository.join(file)).unwrap(), &mutants);
            // A copy of a body in each copy of its caller's would be too much to compile.
            let text = rewritten
                .text
                .replace("#[inline(always)]", "#[inline(never)]")
                .replace("#[inline]", "#[inline(never)]");
            fs::write(copy.join(file), text).unwrap();
            all.insert(file.clone(), rewritten);
        }
        let lib = fs::read_to_string(self.repository.join("src/lib.rs")).unwrap();
        let lib = lib.replacen("\nmod base;", &format!("{SWITCH}\nmod base;"), 1);
        let lib = lib.replacen(
            "#![cfg_attr(docsrs",
            "#![feature(core_intrinsics, const_eval_select)]\n#![cfg_attr(docsrs",
            1,
        );
        fs::write(copy.join("src/lib.rs"), lib).unwrap();
        let geometries = "tests/hosted/support/geometries.rs";
        let text = fs::read_to_string(self.repository.join(geometries)).unwrap();
        let kept = |line: &&str| {
            !LEFT_OUT.iter().any(|name| line.contains(&format!("on_every_geometry!(@ {name}, ")))
        };
        let text: Vec<_> = text.lines().filter(kept).collect();
        fs::write(copy.join(geometries), text.join("\n")).unwrap();
        all
    }

    /// A `cargo` command in the copy. Warnings about code that a mutant does not reach are left
    /// out.
    fn cargo(&self, copy: &Path, command: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args(command).current_dir(copy).stderr(Stdio::inherit());
        cargo
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTC_BOOTSTRAP", "pageblock")
            .env("RUSTFLAGS", "--cap-lints=allow");
        cargo.env("CARGO_TARGET_DIR", self.folder.join("target"));
        cargo
    }

    /// File and line of each error of the library.
    fn errors(&self, copy: &Path) -> Vec<(String, usize)> {
        let mut check = self
            .cargo(copy, &["check", "--package", "pageblock", "--lib", FEATURES, "--message-format=json"]);
        let output = check.stderr(Stdio::null()).output().unwrap();
        let messages = String::from_utf8(output.stdout).unwrap();
        let mut errors = Vec::new();
        for line in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let message = &line["message"];
            if line["reason"] == "compiler-message" && message["level"] == "error" {
                let mut spans = message["spans"].as_array().into_iter().flatten();
                let Some(span) = spans.rfind(|span| span["is_primary"] == true) else {
                    continue;
                };
                let line = usize::try_from(span["line_start"].as_u64().unwrap()).unwrap();
                errors.push((span["file_name"].as_str().unwrap().to_owned(), line));
            }
        }
        assert_eq!(output.status.success(), errors.is_empty(), "{messages}");
        errors
    }

    /// The path of a test program.
    fn program(&self, copy: &Path, name: &str) -> PathBuf {
        let which = if name == "hosted" { ["--test", "hosted"].as_slice() } else { ["--lib"].as_slice() };
        let command = [
            &[
                "test",
                "--no-run",
                "--package",
                "pageblock",
                FEATURES,
                "--message-format=json-render-diagnostics",
            ],
            which,
        ]
        .concat();
        let output = self.cargo(copy, &command).output().unwrap();
        assert!(
            output.status.success(),
            "the tests do not compile: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        let messages = String::from_utf8(output.stdout).unwrap();
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut programs = messages.filter(|message| message["target"]["name"] == name);
        let program = programs.find_map(|message| message["executable"].as_str().map(PathBuf::from));
        program.expect("a test program")
    }
}

/// Hashes every file, in the order of their names.
fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        path.hash(hasher);
        if path.is_dir() {
            hash_folder(&path, hasher);
        } else {
            fs::read(&path).unwrap().hash(hasher);
        }
    }
}

/// Copies what a build needs: not the hidden files, and not what was built.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let (from, to) = (entry.path(), to.join(&name));
        if name == "target" || name == "shared" || name.to_str().is_some_and(|name| name.starts_with('.')) {
            continue;
        }
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}
