//! What is shown during a run: a progress bar, or the serial output of the guest.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pageblock_protocol::Line;

use crate::guest::boot::Listener;
use crate::guest::transcript::printable;

/// What is shown on standard error while the guest runs.
#[derive(Debug)]
pub(crate) enum LiveOutput {
    /// A progress bar.
    Bar(ProgressBar),
    /// Every line of the serial output.
    Serial,
}

impl LiveOutput {
    /// A progress bar. It is invisible if standard error is no terminal.
    pub(crate) fn bar() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style(WAITING));
        bar.set_message("booting");
        if std::io::stderr().is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self::Bar(bar)
    }

    /// Starts again for another boot.
    pub(crate) fn begin(&mut self, what: &str) {
        if let Self::Bar(bar) = self {
            bar.reset_elapsed();
            bar.unset_length();
            bar.set_style(style(WAITING));
            bar.set_prefix(format!("{what} "));
            bar.set_message("booting");
        }
    }

    /// Removes the progress bar from the terminal.
    pub(crate) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Listener for LiveOutput {
    fn receive(&mut self, raw: &str, line: Option<&Line<'_>>) {
        match self {
            Self::Serial => eprintln!("{}", printable(raw)),
            Self::Bar(bar) => {
                if let Some(line) = line {
                    update(bar, line);
                }
            }
        }
    }
}

fn update(bar: &ProgressBar, line: &Line<'_>) {
    match line {
        Line::Hello { cpus, memory_mib, .. } => bar.set_message(format!("{cpus} CPUs up, {memory_mib} MiB")),
        Line::Progress { done, total, label } => {
            if bar.length() != Some(*total) {
                bar.set_length(*total);
                bar.set_style(style(COUNTING));
            }
            bar.set_position(*done);
            bar.set_message(label.to_string());
        }
        _ => {}
    }
}

/// Before the first progress line.
const WAITING: &str = "{spinner} {prefix}{msg} {elapsed}";
/// After it.
const COUNTING: &str = "{bar:30} {pos}/{len} {prefix}{msg} {elapsed}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(bar: &ProgressBar, raw: &str) {
        let line = Line::parse(raw).unwrap().unwrap();
        LiveOutput::Bar(bar.clone()).receive(raw, Some(&line));
    }

    #[test]
    fn the_bar_follows_the_guest() {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        receive(&bar, "@pb hello 1 4 1024");
        assert_eq!(bar.message(), "4 CPUs up, 1024 MiB");
        receive(&bar, "@pb progress 7 30 contiguous allocations");
        assert_eq!((bar.position(), bar.length()), (7, Some(30)));
        assert_eq!(bar.message(), "contiguous allocations");
        receive(&bar, "@pb progress 1 2 checking contents");
        assert_eq!((bar.position(), bar.length()), (1, Some(2)));
    }

    #[test]
    fn the_templates_are_well_formed() {
        for template in [WAITING, COUNTING] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
