//! The structure of the sources: no cycle between files, and imports point down.
//!
//! The test reads `use` items and paths that start with `crate::`, leaves comments and unit tests
//! out, and resolves each path to the file that it names. A `mod.rs` that re-exports its children
//! is a file like any other: a child that imports through its own `mod.rs` is part of a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use crate::REPOSITORY;

/// A crate's files by module path (`buddy::merge`), each with the module paths that it imports.
struct Imports(BTreeMap<String, BTreeSet<String>>);

/// The files below `folder`, as module paths.
fn modules(folder: &Path, prefix: &str, found: &mut BTreeMap<String, PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let module = if prefix.is_empty() { name.clone() } else { format!("{prefix}::{name}") };
        if path.is_dir() {
            modules(&path, &module, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module = if name == "mod" { prefix.to_owned() } else { module };
            found.insert(module, path);
        }
    }
}

/// The code of a file: without comments, and without its unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("\n#[cfg(test)]\n").next().unwrap();
    let text = text.split("\n#[cfg(all(test, ").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Every path that a `use` tree names: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn leaves(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let (prefix, inner) = (tree[..open].trim(), &tree[open + 1..tree.rfind('}').unwrap()]);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for character in inner.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(character);
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(|part| leaves(&format!("{prefix}{part}"))).collect()
}

impl Imports {
    fn of(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        modules(folder, "", &mut files);
        let roots = ["lib", "main"];
        let mut imports = BTreeMap::new();
        for (module, path) in files.iter().filter(|(module, _)| !roots.contains(&module.as_str())) {
            let mut targets = BTreeSet::new();
            for path in paths(&code(path), module) {
                // The longest prefix that is a file; what is left of the path is an item in it.
                let segments: Vec<_> = path.split("::").collect();
                let prefixes = (1..=segments.len()).rev().map(|count| segments[..count].join("::"));
                if let Some(target) = prefixes.into_iter().find(|prefix| files.contains_key(prefix))
                    && target != *module
                {
                    targets.insert(target);
                }
            }
            imports.insert(module.clone(), targets);
        }
        Self(imports)
    }

    /// A cycle of files, if there is one.
    fn cycle(&self) -> Option<Vec<&str>> {
        let mut done = BTreeSet::new();
        self.0.keys().find_map(|start| self.visit(start, &mut Vec::new(), &mut done))
    }

    fn visit<'a>(
        &'a self,
        module: &'a str,
        above: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<&'a str>> {
        if let Some(start) = above.iter().position(|other| *other == module) {
            return Some(above[start..].iter().copied().chain(iter::once(module)).collect());
        }
        if !done.insert(module) {
            return None;
        }
        above.push(module);
        let targets = self.0.get(module).into_iter().flatten();
        let found = targets.into_iter().find_map(|target| self.visit(target, above, done));
        above.pop();
        found
    }
}

/// The paths that a file names, from the root of its crate.
fn paths(code: &str, module: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let starts_item = rest[..at].trim_end().chars().last().is_none_or(|last| ";}])>{".contains(last))
            || rest[..at].ends_with("pub ")
            || rest[..at].ends_with(") ");
        let tail = &rest[at + 4..];
        let Some(end) = tail.find(';') else { break };
        if starts_item {
            let tree = tail[..end].split_whitespace().collect::<Vec<_>>().join(" ").replace("{ ", "{");
            for leaf in leaves(&tree) {
                if let Some(path) = leaf.strip_prefix("crate::") {
                    found.push(path.to_owned());
                } else if let Some(path) = leaf.strip_prefix("super::") {
                    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
                    found.push(format!("{parent}::{path}").trim_start_matches("::").to_owned());
                } else {
                    // A child of this module, if it is a module at all.
                    found.push(format!("{module}::{leaf}"));
                }
            }
        }
        rest = &tail[end..];
    }
    // Paths in the code itself.
    for part in code.split("crate::").skip(1) {
        let path: String = part
            .chars()
            .take_while(|character| character.is_alphanumeric() || "_:".contains(*character))
            .collect();
        // What ends in `::` is the head of a `use` tree, whose leaves are in the list already.
        if !path.ends_with(':') {
            found.push(path);
        }
    }
    found
}

/// The floors that a root file declares: groups of `mod` items, the ground floor first. Modules of
/// one group are on one floor.
fn floors(root: &Path) -> Vec<Vec<String>> {
    let code = fs::read_to_string(root).unwrap();
    let private = code.split("\n\n").map(|group| {
        let names = group.lines().filter_map(|line| {
            let name = line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?;
            Some(name.to_owned())
        });
        names.collect::<Vec<_>>()
    });
    private.filter(|group| !group.is_empty()).collect()
}

fn source(path: &str) -> PathBuf {
    Path::new(REPOSITORY).join(path)
}

#[test]
fn no_two_files_of_the_library_import_each_other() {
    assert_eq!(Imports::of(&source("src")).cycle(), None);
}

#[test]
fn the_library_imports_only_from_lower_floors() {
    let floors = floors(&source("src/lib.rs"));
    let level = |module: &str| {
        let top = module.split("::").next().unwrap();
        floors.iter().position(|floor| floor.iter().any(|name| name == top))
    };
    let imports = Imports::of(&source("src"));
    assert!(floors.len() > 10 && imports.0.len() > 60, "the sources are found");
    for (module, targets) in &imports.0 {
        let own = level(module).unwrap_or_else(|| panic!("{module} is on no floor of src/lib.rs"));
        for target in targets {
            let same_folder = module.split("::").next() == target.split("::").next();
            let below = level(target).is_some_and(|other| other < own);
            assert!(same_folder || below, "{module} imports {target}, which is not on a lower floor");
        }
    }
}

#[test]
fn no_two_files_of_the_kernel_or_the_launcher_import_each_other() {
    for folder in ["kernel/src", "kernel/launcher/src", "kernel/protocol/src"] {
        assert_eq!(Imports::of(&source(folder)).cycle(), None, "{folder}");
    }
}

#[test]
fn a_cycle_is_found() {
    let imports = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["b"]), ("d", vec!["a"])];
    let owned = |(module, targets): (&str, Vec<&str>)| {
        (module.to_owned(), targets.into_iter().map(str::to_owned).collect())
    };
    let imports = Imports(imports.into_iter().map(owned).collect());
    assert_eq!(imports.cycle(), Some(vec!["b", "c", "b"]));
    let code = "use crate::base::{Order, pfn::{Pfn, PfnRange}};\npub(crate) use merge::Merge;\nlet x = crate::sync::Lock;";
    let expected = ["base::Order", "base::pfn::Pfn", "base::pfn::PfnRange", "buddy::merge::Merge"];
    let found = paths(code, "buddy");
    assert!(expected.iter().all(|path| found.iter().any(|found| found == path)), "{found:?}");
    assert!(found.contains(&"sync::Lock".to_owned()));
}
