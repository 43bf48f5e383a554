//! The last events of the allocator: those before a failure as lines, or all as a trace.

use std::iter;

use serde_json::{Value, json};

use crate::guest::transcript::Event;

/// The number of events that are shown. JSON has all.
const SHOWN: usize = 40;

/// The last of these events, which are in the order of time, one line each.
pub(crate) fn lines(events: &[Event]) -> Vec<String> {
    let last = &events[events.len().saturating_sub(SHOWN)..];
    let line = |Event { cpu, at_us, text }: &Event| {
        format!("{}.{:06} cpu {cpu} {text}", at_us / 1_000_000, at_us % 1_000_000)
    };
    last.iter().map(line).collect()
}

/// These events in the trace event format, which Perfetto and `chrome://tracing` show: one row for
/// each CPU. <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>
pub(crate) fn trace(events: &[Event]) -> Value {
    let mut cpus: Vec<u32> = events.iter().map(|event| event.cpu).collect();
    cpus.sort_unstable();
    cpus.dedup();
    let process = json!({"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "pageblock"}});
    let names = cpus.iter().map(|cpu| {
        let name = format!("CPU {cpu}");
        json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": cpu, "args": {"name": name}})
    });
    let instants = events.iter().map(|Event { cpu, at_us, text }| {
        let (kind, fields) = text.split_once(' ').unwrap_or((text, ""));
        let fields = fields.trim_start_matches("{ ").trim_end_matches(" }");
        json!({"ph": "i", "s": "t", "name": kind, "ts": at_us, "pid": 1, "tid": cpu, "args": {"fields": fields}})
    });
    let all: Vec<Value> = iter::once(process).chain(names).chain(instants).collect();
    json!({"displayTimeUnit": "ms", "traceEvents": all})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_a_row_for_each_cpu_and_an_instant_for_each_event() {
        let event = |cpu, at_us, text: &str| Event { cpu, at_us, text: text.to_owned() };
        let events =
            [event(3, 5, "ZoneFree { pfn: 0x4f, order: 2 }"), event(0, 7, "Odd"), event(3, 9, "Odd")];
        let trace = trace(&events);
        let of = |phase: &str| {
            let all = trace["traceEvents"].as_array().unwrap().iter();
            all.filter(|event| event["ph"] == phase).cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            of("M").iter().map(|row| row["args"]["name"].clone()).collect::<Vec<_>>(),
            ["pageblock", "CPU 0", "CPU 3"]
        );
        assert_eq!(of("i").len(), 3);
        let expected = json!({"ph": "i", "s": "t", "name": "ZoneFree", "ts": 5, "pid": 1, "tid": 3,
            "args": {"fields": "pfn: 0x4f, order: 2"}});
        assert_eq!(of("i")[0], expected);
    }
}
