//! Every printed line parses to the same line, and other text is not accepted.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;

fn every_line() -> Vec<Line<'static>> {
    let place = Place { file: "tests/in_kernel/machine.rs", line: 42 };
    std::vec![
        Line::Hello { version: 1, cpus: 4, memory_mib: 1024 },
        Line::Count(57),
        Line::Case { name: "cma::one_chunk", kind: CaseKind::Plain },
        Line::Case { name: "bad::panics", kind: CaseKind::Explicit },
        Line::Start("cma::one_chunk"),
        Line::Pass("cma::one_chunk"),
        Line::Fail {
            name: "cma::one_chunk",
            place,
            message: Text::from("assertion failed\n  left: 1\n right: 2"),
        },
        Line::Fail { name: "cma::one_chunk", place, message: Text::from("") },
        Line::Skip { name: "smp::all_cpus", reason: Text::from("one CPU only") },
        Line::Progress { done: 7, total: 30, label: Text::from("contiguous allocations") },
        Line::Stat { key: "max_abs_drift_pages", value: -512 },
        Line::Row("guard-pages-counted"),
        Line::Cell { key: "missed_pages", value: Value::Integer(5120) },
        Line::Cell { key: "ns_per_op", value: Value::Thousandths(-1_250) },
        Line::Cell { key: "detected", value: Value::Word("yes") },
        Line::Sample { series: "exact", at_us: 7, sample: Sample::Audit { counter: 9, truth: 8 } },
        Line::Sample {
            series: "offline",
            at_us: 7,
            sample: Sample::Latency(Latency { whole: 1500, isolate: 1, migrate: 2, audits: 3, test: 4 }),
        },
        Line::Sample { series: "memory", at_us: 7, sample: Sample::Orders("3,0,1") },
        Line::Sample { series: "memory", at_us: 7, sample: Sample::Map("M0C9-0") },
        Line::Used { at_ms: 1250, kib: 819_200 },
        Line::Resized { number: 3, plugged_mib: 130, managed_pages: 32_256, record_pages: 1024 },
        Line::Note(Text::from("TSC at 2 GHz, from CPUID")),
        Line::Broken(Text::from("zone DMA32: free is 512 too high")),
        Line::Event { cpu: 3, at_us: 7, text: Text::from("ZoneFree { pfn: 0x4f }") },
        Line::Panic { place, message: Text::from("no\nway\\out") },
        Line::Fault { name: "page-fault", message: Text::from("at 0xdead000, rip 0xffffffff80201234") },
        Line::Refused(Text::from("no such word: `cyclse=3`")),
        Line::Done(Verdict::Held),
        Line::Done(Verdict::Broken),
    ]
}

#[test]
fn lines_survive_the_wire() {
    for line in every_line() {
        let wire = line.to_string();
        assert!(!wire.contains('\n'), "{wire:?} is more than one line");
        let back = Line::parse(&wire).unwrap().unwrap();
        assert_eq!(core::mem::discriminant(&back), core::mem::discriminant(&line), "{wire}");
        assert_eq!(back.to_string(), wire);
        let with_carriage_return = wire.clone() + "\r";
        assert_eq!(Line::parse(&with_carriage_return).unwrap().unwrap().to_string(), wire);
    }
}

#[test]
fn the_fields_come_back() {
    let wire = "@pb fail a::b src/x.rs:7 left: 1\\nright: 2";
    let Some(Ok(Line::Fail { name, place, message })) = Line::parse(wire) else {
        panic!("not a failure");
    };
    assert_eq!(name, "a::b");
    assert_eq!(place, Place { file: "src/x.rs", line: 7 });
    assert_eq!(message.to_string(), "left: 1\nright: 2");
}

#[test]
fn values_keep_their_kind() {
    for value in [
        Value::Integer(0),
        Value::Integer(i64::MIN),
        Value::Thousandths(1),
        Value::Thousandths(-1),
        Value::Thousandths(12_000),
        Value::Word("1.5"),
        Value::Word("-"),
        Value::Word("x.123"),
    ] {
        assert_eq!(Value::parse(&value.to_string()), value);
    }
}

#[test]
fn log_text_is_no_line() {
    for log in ["", "hello", "[info] up", " @pb done held", "x@pb done held", "@pb", "@pbdone held"] {
        assert!(Line::parse(log).is_none(), "{log:?}");
    }
}

#[test]
fn torn_lines_are_errors_that_name_the_word() {
    for (torn, found) in [
        ("@pb ", ""),
        ("@pb  done held", " done held"),
        ("@pb frobnicate 3", "frobnicate"),
        ("@pb done", ""),
        ("@pb done well", "well"),
        ("@pb done held again", "again"),
        ("@pb stat audits", ""),
        ("@pb stat audits many", "many"),
        ("@pb count -1", "-1"),
        ("@pb case a::b odd", "odd"),
        ("@pb hello 1 4 x", "x"),
        ("@pb sample exact now audit 1 1", "now"),
        ("@pb sample exact 7 audit 1", ""),
        ("@pb sample exact 7 odd 1", "odd"),
        ("@pb used 1", ""),
        ("@pb resized 1 2 3", ""),
        ("@pb resized 1 2 x 4", "x"),
        ("@pb event 1 now ZoneFree", "now"),
        ("@pb fail a::b nowhere it failed", "nowhere"),
        ("@pb fail a::b file:x it failed", "file:x"),
        ("@pb pass a::b@pb pass c::d", "pass c::d"),
    ] {
        let error = Line::parse(torn).unwrap().unwrap_err();
        assert_eq!(error.found, found, "{torn:?}");
        assert!(error.to_string().contains(found));
    }
}

#[test]
fn every_prefix_of_a_line_parses_without_panic() {
    for line in every_line() {
        let wire: String = line.to_string();
        for end in 0..wire.len() {
            drop(format!("{:?}", Line::parse(&wire[..end])));
        }
    }
}
