//! Free text in a [`Line`](crate::Line), and log text between the lines.
//!
//! A protocol line must be one line, whatever a panic message contains, so [`Text`] escapes line
//! breaks and control characters. Log text may have several lines, but none of them may look like a
//! protocol line, so [`LogText`] indents them.

use core::fmt::{self, Display, Write};

/// Text that is the rest of a protocol line.
///
/// [`Display`] writes the plain text; in a line it is escaped.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(Repr<'a>);

#[derive(Clone, Copy, Debug)]
enum Repr<'a> {
    /// Not escaped yet.
    Plain(&'a str),
    /// Neither escaped nor formatted yet, because a panicking kernel has no buffer.
    Arguments(fmt::Arguments<'a>),
    /// Escaped, as read from a line.
    Wire(&'a str),
}

impl<'a> Text<'a> {
    /// Text from the result of `format_args!`.
    pub const fn new(arguments: fmt::Arguments<'a>) -> Self {
        Self(Repr::Arguments(arguments))
    }

    /// Text from its escaped form.
    pub(crate) const fn from_wire(wire: &'a str) -> Self {
        Self(Repr::Wire(wire))
    }

    /// Writes the text in its escaped form.
    pub(crate) fn write_wire(&self, out: &mut dyn Write) -> fmt::Result {
        match self.0 {
            Repr::Plain(text) => Escape(out).write_str(text),
            Repr::Arguments(arguments) => Escape(out).write_fmt(arguments),
            Repr::Wire(wire) => out.write_str(wire),
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Repr::Plain(text))
    }
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Repr::Plain(text) => f.write_str(text),
            Repr::Arguments(arguments) => f.write_fmt(arguments),
            Repr::Wire(wire) => write_unescaped(wire, f),
        }
    }
}

/// Writes `\`, line breaks and control characters (but not tabs) as escapes.
struct Escape<'w>(&'w mut dyn Write);

impl Write for Escape<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            match c {
                '\\' => self.0.write_str("\\\\")?,
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                '\t' => self.0.write_char(c)?,
                c if c.is_control() => write!(self.0, "\\u{{{:x}}}", u32::from(c))?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Reverses [`Escape`]. Unknown escapes are left as they are.
fn write_unescaped(wire: &str, out: &mut impl Write) -> fmt::Result {
    let mut rest = wire;
    while let Some(at) = rest.find('\\') {
        out.write_str(&rest[..at])?;
        let escape = &rest[at + 1..];
        let (c, len) = match escape.as_bytes().first() {
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b'\\') => ('\\', 1),
            Some(b'u') => unescape_code_point(escape).unwrap_or(('\\', 0)),
            _ => ('\\', 0),
        };
        out.write_char(c)?;
        rest = &escape[len..];
    }
    out.write_str(rest)
}

/// Parses `u{HEX}`. Returns the character and the length of the escape in bytes.
fn unescape_code_point(escape: &str) -> Option<(char, usize)> {
    let body = escape.strip_prefix("u{")?;
    let end = body.find('}')?;
    let code = u32::from_str_radix(&body[..end], 16).ok()?;
    Some((char::from_u32(code)?, "u{".len() + end + "}".len()))
}

/// A log record, none of whose lines looks like a protocol line: the first begins with `[`, the
/// others with a space. It does not end with a line break.
#[derive(Clone, Copy, Debug)]
pub struct LogText<'a> {
    /// The text in the brackets: the time, the CPU, the level.
    pub head: fmt::Arguments<'a>,
    /// The message.
    pub message: fmt::Arguments<'a>,
}

impl Display for LogText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        Indent(f).write_fmt(self.head)?;
        f.write_str("] ")?;
        Indent(f).write_fmt(self.message)
    }
}

/// Indents all lines but the first, and drops other control characters.
struct Indent<'w>(&'w mut dyn Write);

impl Write for Indent<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            match c {
                '\n' => self.0.write_str("\n  ")?,
                '\t' => self.0.write_char(c)?,
                c if c.is_control() => {}
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use super::*;

    fn wire(text: Text<'_>) -> String {
        let mut out = String::new();
        text.write_wire(&mut out).unwrap();
        out
    }

    #[test]
    fn text_survives_the_wire() {
        for plain in [
            "",
            "plain words",
            "left: 1\nright: 2\r\n",
            "a\\b \\n \\u{1b}",
            "bell \u{7} escape \u{1b}[31m",
            "tab\tand ü and 頁",
        ] {
            let wire = wire(Text::from(plain));
            assert!(!wire.contains(['\n', '\r', '\u{1b}']), "{wire:?} is more than one line");
            assert_eq!(format!("{}", Text::from_wire(&wire)), plain);
        }
    }

    #[test]
    fn formatted_text_is_escaped_too() {
        assert_eq!(wire(Text::new(format_args!("{}\n{}", 1, 2))), "1\\n2");
        assert_eq!(format!("{}", Text::new(format_args!("{}\n", 1))), "1\n");
    }

    #[test]
    fn unknown_escapes_stay_as_they_are() {
        for odd in ["\\", "\\x", "\\u", "\\u{", "\\u{zz}", "\\u{110000}", "end\\"] {
            assert_eq!(format!("{}", Text::from_wire(odd)), odd);
        }
    }

    #[test]
    fn no_line_of_log_text_begins_like_a_protocol_line() {
        let log = format!(
            "{}",
            LogText {
                head: format_args!("info\n@pb done held"),
                message: format_args!("first\n@pb pass a::b\r\n@pb done held"),
            }
        );
        for line in log.split(['\n', '\r']) {
            assert!(!line.starts_with(crate::line::PREFIX), "{line:?}");
            assert!(crate::Line::parse(line).is_none(), "{line:?}");
        }
    }
}
