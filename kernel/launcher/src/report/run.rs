//! A finished run: all that its report is made of.

use crate::command_line::plan::Plan;
use crate::guest::boot::Outcome;
use crate::qemu::accel::Accel;
use crate::scenario::judgement::Judgement;

/// A finished run that has results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'r> {
    /// What was to be done.
    pub(crate) plan: &'r Plan<'r>,
    /// The acceleration that was chosen.
    pub(crate) accel: Accel,
    /// What the guest did, all boots together.
    pub(crate) outcome: &'r Outcome,
    /// What that shows.
    pub(crate) judgement: &'r Judgement,
}

impl Run<'_> {
    /// The size of the CMA area as the guest reported it, or else as the kernel was told.
    pub(crate) fn cma_mib(&self) -> i64 {
        self.outcome.transcript.cma_area_mib.unwrap_or(self.plan.config.cma_mib.into())
    }

    /// The rows that miss their targets.
    pub(crate) fn missed_targets(&self) -> Vec<&str> {
        let rows = self.outcome.transcript.rows.iter();
        rows.filter(|row| row.misses_target() == Some(true)).map(|row| row.name.as_str()).collect()
    }
}

/// A run for the tests of reports.
#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use pageblock_protocol::Verdict;

    use super::*;
    use crate::command_line::parse::tests::with_plan;
    use crate::guest::ending::Ending;
    use crate::guest::transcript::Transcript;

    pub(crate) const GOOD: &str = "\
@pb hello 2 4 1000
@pb stat cma_area_mib 256
@pb stat succeeded 30
@pb stat failed 0
@pb stat missed_pages 0
@pb stat max_abs_drift_pages 0
@pb stat audits 1234
@pb stat pages_migrated 61234
@pb stat contents_checked 234567
@pb stat contents_corrupted 0
@pb stat allocations 1234567
@pb stat latency_us.min 1100
@pb stat latency_us.p50 5000
@pb stat latency_us.p99 9900
@pb stat latency_us.max 12345
@pb stat wall_ms 9876
@pb stat odd_extra.thing -1234
@pb note the TSC runs at 2 GHz
@pb done held
";

    /// Lets a test look at a run with that command line whose guest sent those lines.
    pub(crate) fn with_run(command_line: &str, lines: &str, look: impl FnOnce(Run<'_>)) {
        let mut transcript = Transcript::default();
        for line in lines.lines() {
            transcript.receive(line);
        }
        let outcome = Outcome {
            transcript,
            ending: Ending::Done(Verdict::Held),
            qemu_messages: Vec::new(),
            command: String::new(),
            took: Duration::from_secs(10),
        };
        with_plan(command_line, |plan| {
            let judgement = Judgement::of(plan.spec, plan.machine, &outcome);
            look(Run { plan, accel: Accel::Tcg, outcome: &outcome, judgement: &judgement });
        });
    }
}
