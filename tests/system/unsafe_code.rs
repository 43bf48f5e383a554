//! The table of unsafe code in the guide has each file that has any, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::REPOSITORY;

/// The files below `folder` whose unsafe code is allowed or that declare an unsafe function.
fn files_with_unsafe_code(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with_unsafe_code(&path, root, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let declares = text.lines().any(|line| line.trim_start().starts_with("pub const unsafe fn"));
            if text.contains("unsafe_code, reason") || text.contains("unsafe_code,\n") || declares {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
}

#[test]
fn the_guide_names_each_file_with_unsafe_code() {
    let root = Path::new(REPOSITORY).join("src");
    let mut found = BTreeSet::new();
    files_with_unsafe_code(&root, &root, &mut found);
    let chapter = fs::read_to_string(root.join("guide/unsafe_code.md")).unwrap();
    let rows = chapter.lines().filter(|line| line.starts_with("| `"));
    let first_columns = rows.map(|line| line.split('|').nth(1).unwrap());
    let named: BTreeSet<String> = first_columns
        .flat_map(|column| column.split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    assert_eq!(named, found);
    // `platform.rs` declares an unsafe function and has no unsafe code.
    let readme = fs::read_to_string(Path::new(REPOSITORY).join("README.md")).unwrap();
    let count = format!("lifted in {} files", found.len() - 1);
    assert!(readme.contains(&count), "the README does not say `{count}`");
}
