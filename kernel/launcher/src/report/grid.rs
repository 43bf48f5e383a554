//! A table of named rows, in a layout that fits into a given width.
//!
//! Most tables are wider than some terminals. The first of these layouts that fits is taken: one
//! table; the same with wrapped texts; the table turned on its side, with a column for each row;
//! two tables, each with some of the columns; two tables turned on their sides; three tables; and a
//! list. Numbers are never broken.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width, presets};

use crate::report::width::wrap;

/// The narrowest column of texts.
const LEAST_TEXT: usize = 20;

/// A space at which no line is broken.
pub(crate) const NO_BREAK: &str = "\u{a0}";

/// A table of named rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    /// The header of the first column, which has the names of the rows.
    pub(crate) name: String,
    /// The headers of the other columns.
    pub(crate) headers: Vec<String>,
    /// The name of each row and its fields, as many as there are headers.
    pub(crate) rows: Vec<(String, Vec<String>)>,
}

/// An empty table in the style of all tables.
pub(crate) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table
}

/// The width of a text that was rendered.
pub(crate) fn width_of(text: &str) -> usize {
    text.lines().map(textwrap::core::display_width).max().unwrap_or(0)
}

impl Grid {
    /// The table in the first layout that is no wider than `width`.
    pub(crate) fn render(&self, width: usize) -> String {
        let upright = |parts| self.in_parts(parts, width);
        let turned = |parts| self.turned(parts, width);
        upright(1)
            .or_else(|| turned(1))
            .or_else(|| upright(2))
            .or_else(|| turned(2))
            .or_else(|| upright(3))
            .unwrap_or_else(|| self.list(width))
    }

    /// Up to `parts` tables, each with the names of the rows and some of the other columns.
    fn in_parts(&self, parts: usize, width: usize) -> Option<String> {
        let (mut tables, mut first) = (Vec::new(), 0);
        while first < self.headers.len() {
            if tables.len() == parts {
                return None;
            }
            let ends = (first + 1..=self.headers.len()).rev();
            let (end, table) = ends
                .map(|end| (end, self.upright(first, end, width)))
                .find_map(|(end, table)| Some((end, table?)))?;
            tables.push(table);
            first = end;
        }
        Some(tables.join("\n"))
    }

    /// A table with the columns from `first` to before `end`, and the rows that have any of them.
    fn upright(&self, first: usize, end: usize, width: usize) -> Option<String> {
        let mut table = new_table();
        let headers = (first..end).map(|column| match self.is_text(column) {
            true => self.headers[column].clone(),
            false => self.headers[column].replace(' ', "\n"),
        });
        table.set_header(std::iter::once(self.name.clone()).chain(headers));
        for (name, fields) in &self.rows {
            let fields = &fields[first..end];
            if fields.iter().any(|field| is_something(field)) {
                table.add_row(row(name, fields));
            }
        }
        let natural = width_of(&table.to_string());
        if natural <= width {
            return Some(table.to_string());
        }
        // Texts are wrapped. They share what the other columns leave.
        let texts: Vec<usize> = (first..end).filter(|column| self.is_text(*column)).collect();
        let widest = |column: &usize| self.rows.iter().map(|(_, fields)| width_of(&fields[*column])).max();
        let text_width: usize = texts.iter().filter_map(widest).sum();
        let share = (width + text_width).checked_sub(natural)?.checked_div(texts.len())?;
        if share < LEAST_TEXT {
            return None;
        }
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns(width));
        for column in table.column_iter_mut() {
            let is_wrapped = column.index > 0 && texts.contains(&(column.index - 1 + first));
            column.set_constraint(match is_wrapped {
                // With one column of padding on either side.
                true => ColumnConstraint::UpperBoundary(Width::Fixed(columns(share + 2))),
                false => ColumnConstraint::ContentWidth,
            });
        }
        Some(table.to_string()).filter(|text| width_of(text) <= width)
    }

    fn is_text(&self, column: usize) -> bool {
        self.rows.iter().any(|(_, fields)| is_text(&fields[column]))
    }

    /// Up to `parts` tables with a column for each row.
    fn turned(&self, parts: usize, width: usize) -> Option<String> {
        let each = self.rows.len().div_ceil(parts).max(1);
        let tables: Option<Vec<String>> = self.rows.chunks(each).map(|rows| self.turn(rows, width)).collect();
        tables.map(|tables| tables.join("\n"))
    }

    fn turn(&self, rows: &[(String, Vec<String>)], width: usize) -> Option<String> {
        let mut table = new_table();
        table.set_header(std::iter::once(&self.name).chain(rows.iter().map(|(name, _)| name)));
        for (column, header) in self.headers.iter().enumerate() {
            let fields: Vec<String> = rows.iter().map(|(_, fields)| fields[column].clone()).collect();
            if fields.iter().any(|field| is_something(field)) {
                table.add_row(row(header, &fields));
            }
        }
        let natural = width_of(&table.to_string());
        if natural > width {
            // Only the headers are wrapped.
            let headers = self.headers.iter().chain([&self.name]).map(|header| width_of(header)).max()?;
            let label = (width + headers).checked_sub(natural).filter(|label| *label >= LEAST_TEXT / 2)?;
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns(width));
            for column in table.column_iter_mut() {
                column.set_constraint(match column.index {
                    0 => ColumnConstraint::UpperBoundary(Width::Fixed(columns(label + 2))),
                    _ => ColumnConstraint::ContentWidth,
                });
            }
        }
        Some(table.to_string()).filter(|text| width_of(text) <= width)
    }

    /// A paragraph for each row.
    fn list(&self, width: usize) -> String {
        let paragraphs = self.rows.iter().map(|(name, fields)| {
            let fields = self.headers.iter().zip(fields).filter(|(_, field)| is_something(field));
            // A header and its number are not separated.
            let fields = fields.map(|(header, field)| match is_text(field) {
                true => format!("{header}: {field}"),
                false => format!("{header} {field}").replace(' ', NO_BREAK),
            });
            let fields = fields.collect::<Vec<_>>().join(", ");
            wrap(&format!("{name}:\n  {fields}"), width).replace(NO_BREAK, " ")
        });
        paragraphs.collect::<Vec<_>>().join("\n")
    }
}

/// Whether a field has several words, and so can be wrapped. A mark of a number is none.
fn is_text(field: &str) -> bool {
    field.contains(' ') && !field.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a field has a value. A dash is none.
fn is_something(field: &str) -> bool {
    !field.is_empty() && field != "-"
}

fn row(name: &str, fields: &[String]) -> Row {
    let fields = fields.iter().map(|field| {
        let is_left = is_text(field) || !is_something(field);
        Cell::new(field).set_alignment(if is_left { CellAlignment::Left } else { CellAlignment::Right })
    });
    std::iter::once(Cell::new(name)).chain(fields).collect::<Vec<_>>().into()
}

fn columns(width: usize) -> u16 {
    u16::try_from(width).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grid of three rows with columns of numbers and, last, one of texts.
    fn grid(columns: usize) -> Grid {
        let fields = |number: usize| {
            let numbers = (0..columns).map(|column| format!("{}", 1_000_000 * (column + number)));
            numbers.chain([format!("some words about row {number}")]).collect()
        };
        Grid {
            name: "row".to_owned(),
            headers: (0..columns)
                .map(|column| format!("column {column}"))
                .chain(["about".to_owned()])
                .collect(),
            rows: (1..=3).map(|number| (format!("row-{number}"), fields(number))).collect(),
        }
    }

    #[test]
    fn no_layout_is_wider_than_the_terminal_and_none_leaves_a_field_out() {
        for columns in [1, 2, 3, 5, 8, 13, 20] {
            let grid = grid(columns);
            for width in (40..200).step_by(7) {
                let text = grid.render(width);
                assert!(width_of(&text) <= width, "{columns} columns in {width}:\n{text}");
                let words = text.replace(['│', '┆'], " ");
                let words: Vec<&str> = words.split(|c: char| c.is_whitespace() || c == ',').collect();
                for field in grid.rows.iter().flat_map(|(_, fields)| &fields[..columns]) {
                    assert!(words.contains(&field.as_str()), "{field} is not in\n{text}");
                }
                for (name, _) in &grid.rows {
                    assert!(text.contains(name), "{name} is not in\n{text}");
                }
            }
        }
    }

    #[test]
    fn a_wide_terminal_shows_one_table_and_a_narrow_one_another_layout() {
        let grid = grid(9);
        let headers = |text: &str| text.matches('╞').count();
        assert_eq!(headers(&grid.render(200)), 1);
        assert!(grid.render(200).lines().count() < grid.render(80).lines().count());
        assert_eq!(headers(&grid.render(40)), 0, "a list:\n{}", grid.render(40));
    }
}
