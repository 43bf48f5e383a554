//! The table that `list` prints.

use std::io;

use crate::command_line::definition::EXAMPLE;
use crate::image::build::{EXAMPLES, EXAMPLES_SHOW};
use comfy_table::ContentArrangement;

use crate::report::grid::new_table;
use crate::report::width::Output;
use crate::scenario::table::SCENARIOS;

/// Prints all that can be run: the scenarios and the examples.
///
/// # Errors
///
/// If standard output cannot be written to.
pub fn scenarios() -> io::Result<()> {
    Output::Stdout.print(&table(Output::Stdout.width()))
}

fn table(width: usize) -> String {
    let mut table = new_table();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table.set_header(["cargo run --", "what it does"]);
    for spec in &SCENARIOS {
        table.add_row([spec.scenario.name(), spec.about]);
    }
    for (name, shows) in EXAMPLES.into_iter().zip(EXAMPLES_SHOW) {
        table.add_row([format!("{EXAMPLE} {name}").as_str(), shows]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::grid::width_of;

    #[test]
    fn the_list_names_everything_at_every_width() {
        for width in [60, 80, 100, 160] {
            let text = table(width);
            for spec in &SCENARIOS {
                assert!(text.contains(spec.scenario.name()), "{text}");
            }
            assert!(text.contains("example heap") && text.contains("example single_cpu"), "{text}");
            assert!(width_of(&text) <= width, "{text}");
        }
    }
}
