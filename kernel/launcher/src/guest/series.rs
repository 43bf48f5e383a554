//! Several boots of one run: their outcomes merged into one.

use pageblock_protocol::Verdict;

use crate::guest::boot::Outcome;
use crate::guest::ending::Ending;
use crate::guest::transcript::Transcript;

/// Merges the outcomes of two boots that both have results.
///
/// Measurements are added up, rows are appended, and every invariant held only if it held in both.
/// What describes the machine is that of the first boot.
pub(crate) fn merge(sum: Outcome, next: Outcome) -> Outcome {
    let ending = match (sum.ending, next.ending) {
        (Ending::Done(Verdict::Held), other) => other,
        (bad, _) => bad,
    };
    Outcome {
        transcript: merge_transcripts(sum.transcript, next.transcript),
        ending,
        qemu_messages: next.qemu_messages,
        command: next.command,
        took: sum.took + next.took,
    }
}

fn merge_transcripts(mut sum: Transcript, next: Transcript) -> Transcript {
    for (key, value) in next.stats {
        match sum.stats.iter_mut().find(|(known, _)| *known == key) {
            Some((_, total)) => *total += value,
            None => sum.stats.push((key, value)),
        }
    }
    sum.rows.extend(next.rows);
    for note in next.notes {
        if !sum.notes.contains(&note) {
            sum.notes.push(note);
        }
    }
    sum.residency.extend(next.residency);
    sum.broken.extend(next.broken);
    sum.events.extend(next.events);
    Transcript { tail: next.tail, ..sum }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outcome(lines: &[&str], verdict: Verdict) -> Outcome {
        let mut transcript = Transcript::default();
        for line in lines {
            transcript.receive(line);
        }
        let ending = Ending::Done(verdict);
        let took = Duration::from_secs(2);
        Outcome { transcript, ending, qemu_messages: Vec::new(), command: String::new(), took }
    }

    #[test]
    fn measurements_are_added_up() {
        let first = ["@pb stat audits 3", "@pb row a", "@pb cell x 1", "@pb note slow"];
        let second = ["@pb stat audits 4", "@pb stat extra 1", "@pb row b", "@pb note slow", "@pb note odd"];
        let sum = merge(outcome(&first, Verdict::Held), outcome(&second, Verdict::Held));
        assert_eq!(sum.transcript.stat("audits"), Some(7));
        assert_eq!(sum.transcript.stat("extra"), Some(1));
        let names: Vec<&str> = sum.transcript.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(sum.transcript.notes, ["slow", "odd"]);
        assert_eq!(sum.ending, Ending::Done(Verdict::Held));
        assert_eq!(sum.took, Duration::from_secs(4));
    }

    #[test]
    fn one_boot_that_did_not_hold_is_enough() {
        let bad = || outcome(&["@pb broken x"], Verdict::Broken);
        let good = || outcome(&[], Verdict::Held);
        for sum in [merge(bad(), good()), merge(good(), bad())] {
            assert_eq!(sum.ending, Ending::Done(Verdict::Broken));
            assert_eq!(sum.transcript.broken, ["x"]);
        }
    }
}
