//! The width of the terminal, and text wrapped at words.

use std::io::{self, stderr, stdout};

use textwrap::{Options, WordSplitter};

use crate::host::streams;

/// The width where there is no terminal: that of most of them.
const WITHOUT_TERMINAL: usize = 80;
/// No table and no text is narrower than this.
const LEAST: usize = 40;

/// Where a report goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Output {
    /// The width of that terminal in columns. `COLUMNS` in the environment, if it is a number, has
    /// precedence.
    pub(crate) fn width(self) -> usize {
        let chosen = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let of_terminal = || match self {
            Self::Stdout => terminal_size::terminal_size_of(stdout()),
            Self::Stderr => terminal_size::terminal_size_of(stderr()),
        };
        let width = chosen.or_else(|| of_terminal().map(|(width, _)| usize::from(width.0)));
        width.unwrap_or(WITHOUT_TERMINAL).max(LEAST)
    }

    /// Prints the text and a line break.
    ///
    /// # Errors
    ///
    /// If standard output cannot be written to.
    pub(crate) fn print(self, text: &str) -> io::Result<()> {
        match self {
            Self::Stdout => streams::print(format_args!("{text}")),
            Self::Stderr => {
                streams::say(format_args!("{text}"));
                Ok(())
            }
        }
    }
}

/// Wraps each line of the text at words. What goes on in another line is indented, by two columns
/// more than its line.
pub(crate) fn wrap(text: &str, width: usize) -> String {
    let wrapped = text.lines().map(|line| {
        let words = line.trim_start();
        let indent = " ".repeat(line.len() - words.len());
        let hanging = format!("{indent}  ");
        let options = Options::new(width).word_splitter(WordSplitter::NoHyphenation);
        textwrap::fill(words, options.initial_indent(&indent).subsequent_indent(&hanging))
    });
    wrapped.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_at_words_and_what_follows_is_indented() {
        let text = "note: one two three\n  four five six seven eight";
        assert_eq!(wrap(text, 15), "note: one two\n  three\n  four five six\n    seven eight");
        assert_eq!(wrap(text, 80), text);
    }
}
