//! Lines of comments and of Markdown have at most 100 columns.
//!
//! Left out are what cannot be broken: rows of tables, code in examples, and links.

use std::fs;
use std::path::Path;

use crate::REPOSITORY;

const COLUMNS: usize = 100;

/// The lines of a Markdown text that are not code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// The lines of a Rust source that are comments.
fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_comment = |line: &str| line.starts_with("//") && !line.starts_with("/// #");
    text.lines().enumerate().filter(move |(_, line)| is_comment(line.trim_start()))
}

/// Adds `file:line` of each long line below `folder`.
fn find_long(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && name != "shared" && !name.starts_with('.') {
            find_long(&path, found);
        }
        let text = || fs::read_to_string(&path).unwrap();
        let is_long = |line: &str| line.chars().count() > COLUMNS && !line.contains(['|', '│', '┌', '└']);
        let mut add = |(at, line): (usize, &str)| {
            if is_long(line) && !line.contains("https://") {
                found.push(format!("{}:{}", path.display(), at + 1));
            }
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => comments(&text()).for_each(&mut add),
            Some("md") => prose(&text()).for_each(&mut add),
            _ => {}
        }
    }
}

#[test]
fn no_line_of_text_is_longer_than_100_columns() {
    let mut found = Vec::new();
    find_long(Path::new(REPOSITORY), &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
