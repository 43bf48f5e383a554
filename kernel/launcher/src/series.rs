//! Several boots that tell one story: each shows one thing, and the table all of them.

use pageblock_protocol::Verdict;

use crate::boot::Outcome;
use crate::ending::Ending;
use crate::transcript::Transcript;

/// Two boots that have results, as if one had said it all: measurements are added up, rows follow one
/// another, and all held only if both did.
pub fn join(sum: Outcome, next: Outcome) -> Outcome {
    let ending = match (sum.ending, next.ending) {
        (Ending::Done(Verdict::Held), other) => other,
        (bad, _) => bad,
    };
    Outcome {
        transcript: join_transcripts(sum.transcript, next.transcript),
        ending,
        qemu_messages: next.qemu_messages,
        command: next.command,
        took: sum.took + next.took,
    }
}

fn join_transcripts(mut sum: Transcript, next: Transcript) -> Transcript {
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
    sum.broken.extend(next.broken);
    Transcript { tail: next.tail, ..sum }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outcome(lines: &[&str], verdict: Verdict) -> Outcome {
        let mut transcript = Transcript::default();
        for line in lines {
            transcript.hear(line);
        }
        let ending = Ending::Done(verdict);
        let took = Duration::from_secs(2);
        Outcome { transcript, ending, qemu_messages: Vec::new(), command: String::new(), took }
    }

    #[test]
    fn boots_add_up() {
        let first = ["@pb stat audits 3", "@pb row a", "@pb cell x 1", "@pb note slow"];
        let second = ["@pb stat audits 4", "@pb stat extra 1", "@pb row b", "@pb note slow", "@pb note odd"];
        let sum = join(outcome(&first, Verdict::Held), outcome(&second, Verdict::Held));
        assert_eq!(sum.transcript.stat("audits"), Some(7));
        assert_eq!(sum.transcript.stat("extra"), Some(1));
        let names: Vec<&str> = sum.transcript.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(sum.transcript.notes, ["slow", "odd"]);
        assert_eq!(sum.ending, Ending::Done(Verdict::Held));
        assert_eq!(sum.took, Duration::from_secs(4));
    }

    #[test]
    fn one_bad_boot_is_enough() {
        let bad = || outcome(&["@pb broken x"], Verdict::Broken);
        let good = || outcome(&[], Verdict::Held);
        for sum in [join(bad(), good()), join(good(), bad())] {
            assert_eq!(sum.ending, Ending::Done(Verdict::Broken));
            assert_eq!(sum.transcript.broken, ["x"]);
        }
    }
}
