//! Commands as text that a user can paste into a shell.

use std::ffi::OsStr;
use std::process::Command;

/// The command line of a process, quoted for a POSIX shell.
pub(crate) fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quote).collect::<Vec<_>>().join(" ")
}

/// One word of a command line, in quotes if the shell would change it otherwise.
pub(crate) fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_survive_the_shell() {
        let mut command = Command::new("printf");
        command.args(["%s|", "it's", "a b", ""]);
        let typed = command_line(&command);
        let output = Command::new("sh").args(["-c", &typed]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's|a b||");
    }
}
