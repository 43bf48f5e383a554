//! What is shown during a run: the progress, or the serial output of the guest.
//!
//! The progress is that of the whole run, all boots together. On a terminal it is a bar, elsewhere
//! a line every few seconds. Both say in words what is waited for.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pageblock_protocol::Line;

use crate::guest::boot::Listener;
use crate::guest::transcript::printable;
use crate::host::streams::say;
use crate::report::width::{Output, wrap};

/// The time from one line to the next where there is no terminal.
const PACE: Duration = Duration::from_secs(5);
/// The same after hours.
const MAX_PACE: Duration = Duration::from_secs(60);

/// What the bar counts, of the work of one boot.
const PARTS: u64 = 1000;

/// What is shown on standard error while the guest runs.
#[derive(Debug)]
pub(crate) struct LiveOutput {
    kind: Kind,
    /// The work of all boots, and of those that are over.
    total: u64,
    over: u64,
    /// The work of the current boot, and the share of it that is done, in [`PARTS`].
    weight: u64,
    done: u64,
    /// What is done now.
    label: String,
    /// Which boot of several it is.
    prefix: String,
    since: Instant,
}

#[derive(Debug)]
enum Kind {
    /// A progress bar.
    Bar(ProgressBar),
    /// Lines at a pace; when the next one is due.
    Lines(Instant),
    /// Every line of the serial output.
    Serial,
}

impl LiveOutput {
    /// The progress of a run, whose boots have those amounts of work.
    pub(crate) fn progress(weights: &[u64]) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::new(Kind::Lines(Instant::now() + PACE), weights);
        }
        let bar = ProgressBar::with_draw_target(Some(100 * PARTS), ProgressDrawTarget::stderr());
        bar.set_style(
            ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(100));
        Self::new(Kind::Bar(bar), weights)
    }

    /// Every line of the serial output.
    pub(crate) fn serial() -> Self {
        Self::new(Kind::Serial, &[])
    }

    fn new(kind: Kind, weights: &[u64]) -> Self {
        let total = weights.iter().sum::<u64>().max(1);
        let (label, prefix) = (BOOTING.to_owned(), String::new());
        Self { kind, total, over: 0, weight: 0, done: 0, label, prefix, since: Instant::now() }
    }

    /// Begins a boot that has that amount of work. The one before is over.
    pub(crate) fn begin(&mut self, prefix: String, weight: u64) {
        self.over += self.weight;
        (self.weight, self.done) = (weight, 0);
        self.prefix = prefix;
        BOOTING.clone_into(&mut self.label);
        self.show();
    }

    /// Removes the progress bar from the terminal.
    pub(crate) fn finish(self) {
        if let Kind::Bar(bar) = self.kind {
            bar.finish_and_clear();
        }
    }

    fn update(&mut self, line: &Line<'_>) {
        match line {
            Line::Hello { cpus, memory_mib, .. } => {
                let plural = if *cpus == 1 { " is" } else { "s are" };
                self.label = format!("{cpus} CPU{plural} up, with {memory_mib} MiB");
            }
            Line::Progress { done, total, label } => {
                self.done = done.saturating_mul(PARTS) / (*total).max(1);
                self.label = label.to_string();
            }
            _ => return,
        }
        self.show();
    }

    /// The share of the whole run that is done, of 100 times [`PARTS`].
    fn share(&self) -> u64 {
        let done = self.over * PARTS + self.weight * self.done.min(PARTS);
        100 * done / self.total
    }

    fn show(&self) {
        if let Kind::Bar(bar) = &self.kind {
            bar.set_position(self.share());
            bar.set_message(format!("{}{}", self.prefix, self.label));
        }
    }

    /// The line that is printed now, if one is due.
    fn due(&mut self, now: Instant) -> Option<String> {
        let Kind::Lines(next) = &mut self.kind else { return None };
        if now < *next {
            return None;
        }
        let passed = now - self.since;
        *next = now + (passed / 60).clamp(PACE, MAX_PACE);
        let percent = self.share() / PARTS;
        Some(format!("{percent} %, {}: {}{}", duration(passed), self.prefix, self.label))
    }
}

/// A time in words: `59 s`, `59 min`, `2 h 5 min`.
fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..600 => format!("{seconds} s"),
        seconds @ 600..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

impl Listener for LiveOutput {
    fn receive(&mut self, raw: &str, line: Option<&Line<'_>>) {
        match (&self.kind, line) {
            (Kind::Serial, _) => say(format_args!("{}", printable(raw))),
            (_, Some(line)) => self.update(line),
            (_, None) => {}
        }
    }

    fn tick(&mut self) {
        if let Some(text) = self.due(Instant::now()) {
            say(format_args!("{}", wrap(&text, Output::Stderr.width())));
        }
    }
}

/// Until the guest sends its first line.
const BOOTING: &str = "the kernel boots";

/// What does not fit into the terminal is cut off at the end.
const TEMPLATE: &str = "{bar:20} {percent:>3} % {elapsed:>3} {wide_msg}";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(weights: &[u64]) -> (LiveOutput, Instant) {
        let mut live = LiveOutput::new(Kind::Serial, weights);
        live.kind = Kind::Lines(live.since + PACE);
        let start = live.since;
        (live, start)
    }

    fn receive(live: &mut LiveOutput, raw: &str) {
        let line = Line::parse(raw).unwrap().unwrap();
        live.receive(raw, Some(&line));
    }

    #[test]
    fn the_bar_follows_the_guest_and_is_not_full_before_the_last_boot_is_over() {
        let bar = ProgressBar::with_draw_target(Some(100 * PARTS), ProgressDrawTarget::hidden());
        let mut live = LiveOutput::new(Kind::Bar(bar.clone()), &[1, 3]);
        live.begin("1/2 one: ".to_owned(), 1);
        receive(&mut live, "@pb hello 2 4 1024");
        assert_eq!(bar.message(), "1/2 one: 4 CPUs are up, with 1024 MiB");
        receive(&mut live, "@pb progress 15 30 15 of 30 contiguous allocations");
        assert_eq!(bar.position(), 12_500, "half of one in four");
        assert_eq!(bar.message(), "1/2 one: 15 of 30 contiguous allocations");
        receive(&mut live, "@pb progress 30 30 the end");
        assert_eq!(bar.position(), 25_000);
        live.begin("2/2 two: ".to_owned(), 3);
        assert_eq!((bar.position(), bar.message()), (25_000, "2/2 two: the kernel boots".to_owned()));
        receive(&mut live, "@pb progress 2 3 x");
        assert_eq!(bar.position() / 100, 749, "a quarter and two of three");
    }

    #[test]
    fn without_a_terminal_there_is_a_line_at_a_pace() {
        let (mut live, start) = lines(&[1]);
        live.begin(String::new(), 1);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(live.due(at(4)), None);
        assert_eq!(live.due(at(5)).unwrap(), "0 %, 5 s: the kernel boots");
        receive(&mut live, "@pb progress 7 10 612000 of 1000000 page allocations");
        assert_eq!(live.due(at(9)), None);
        assert_eq!(live.due(at(11)).unwrap(), "70 %, 11 s: 612000 of 1000000 page allocations");
        assert_eq!(live.due(at(15)), None);
        assert!(live.due(at(16)).is_some(), "also while the guest is silent");
    }

    #[test]
    fn after_hours_the_lines_are_fewer_and_say_hours() {
        let (mut live, start) = lines(&[1]);
        live.begin(String::new(), 1);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(live.due(at(1000)).unwrap(), "0 %, 16 min: the kernel boots");
        assert_eq!(live.due(at(1015)), None);
        assert!(live.due(at(1017)).is_some());
        assert_eq!(live.due(at(9000)).unwrap(), "0 %, 2 h 30 min: the kernel boots");
        assert_eq!(live.due(at(9059)), None);
        assert!(live.due(at(9060)).is_some());
    }

    #[test]
    fn the_template_is_well_formed() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
    }
}
