//! The table that `list` prints.

use crate::command_line::definition::EXAMPLE;
use crate::image::build::{EXAMPLES, EXAMPLES_SHOW};
use crate::report::table::new_table;
use crate::scenario::table::SCENARIOS;

/// All that can be run: the scenarios and the examples.
pub fn scenarios() -> String {
    let mut table = new_table();
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

    #[test]
    fn the_list_names_every_scenario_within_80_columns() {
        let text = scenarios();
        for spec in &SCENARIOS {
            assert!(text.contains(spec.scenario.name()), "{text}");
        }
        assert!(text.contains("example heap") && text.contains("example single_cpu"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
