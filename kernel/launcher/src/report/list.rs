//! The table that `list` prints.

use crate::report::table::new_table;
use crate::scenario::table::SCENARIOS;

/// All that the first word of the command line can be.
pub fn scenarios() -> String {
    let mut table = new_table();
    table.set_header(["scenario", "what it does"]);
    for spec in &SCENARIOS {
        table.add_row([spec.scenario.name(), spec.about]);
    }
    table.add_row(["example", "boots a small kernel of examples/, which checks itself"]);
    table.add_row(["list", "prints this table"]);
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
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
