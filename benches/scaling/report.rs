//! The results as tables and as JSON, and the bounds that `--check` tests.

use std::fmt;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::coherence::Part;
use crate::simulation::Load;
use crate::sizes::Work;
use crate::trace::Cost;
use crate::valgrind::SizeCost;

const GIB: u64 = 1 << 30;

const TITLE: &str = "\
pageblock with PcpAccess::owner_only, per call of the allocator: instructions;
cache lines that a store took from other CPUs (written); cache lines that a load
fetched from the CPU that wrote them (fetched); the sum of these two for each part
of the allocator; acquisitions of a zone's lock; barriers on every CPU";

/// All results.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) simulations: Vec<(Load, usize, Cost)>,
    pub(crate) sizes: Vec<(Work, u64, SizeCost)>,
    pub(crate) init_times: Vec<(u64, Duration)>,
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

impl Cost {
    fn per_operation(&self, count: u64) -> f64 {
        count as f64 / self.operations as f64
    }

    /// Transfers of cache lines, per operation.
    fn lines(&self) -> f64 {
        self.per_operation(self.traffic.written() + self.traffic.fetched())
    }
}

impl SizeCost {
    fn each(&self) -> f64 {
        self.instructions as f64 / self.operations as f64
    }
}

impl Report {
    fn simulation_table(&self) -> Table {
        let mut header = vec!["load", "CPUs", "instructions", "written", "fetched"];
        header.extend(Part::ALL.map(Part::name));
        header.extend(["zone locks", "barriers"]);
        let mut table = table(&header);
        for (load, cpus, cost) in &self.simulations {
            let each = |count| format!("{:.3}", cost.per_operation(count));
            let mut row = vec![
                load.name().to_owned(),
                cpus.to_string(),
                format!("{:.1}", cost.per_operation(cost.instructions)),
            ];
            row.extend([each(cost.traffic.written()), each(cost.traffic.fetched())]);
            row.extend(Part::ALL.map(|part| each(cost.traffic.of(part))));
            row.extend([each(cost.lock_holds), each(cost.barriers)]);
            table.add_row(row);
        }
        table
    }

    fn memories(&self) -> Vec<u64> {
        let mut memories: Vec<_> = self.sizes.iter().map(|(_, memory, _)| *memory).collect();
        memories.dedup();
        memories
    }

    fn size_table(&self) -> Table {
        let memories = self.memories();
        let mut header = vec!["owner-only, instructions".to_owned()];
        header.extend(memories.iter().map(|memory| format!("{} GiB", memory / GIB)));
        let mut table = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
        for work in Work::ALL {
            let costs = self.sizes.iter().filter(|(of, ..)| *of == work);
            let (name, cells): (_, Vec<_>) = if work == Work::Init {
                (
                    "initialisation, per GiB",
                    costs.map(|(_, memory, cost)| format!("{:.0}", cost.each() / gib(*memory))).collect(),
                )
            } else {
                (work.name(), costs.map(|(.., cost)| format!("{:.1}", cost.each())).collect())
            };
            table.add_row([vec![name.to_owned()], cells].concat());
        }
        let times =
            self.init_times.iter().map(|(memory, time)| format!("{:.1}", micros(*time) / gib(*memory)));
        table.add_row([vec!["initialisation, µs per GiB".to_owned()], times.collect()].concat());
        table
    }

    /// The results as one JSON object.
    pub(crate) fn json(&self) -> Value {
        let simulations: Vec<_> = self
            .simulations
            .iter()
            .map(|(load, cpus, cost)| {
                json!({
                    "load": load.name(), "cpus": cpus, "operations": cost.operations,
                    "instructions_per_op": cost.per_operation(cost.instructions),
                    "lines_written_per_op": cost.per_operation(cost.traffic.written()),
                    "lines_fetched_per_op": cost.per_operation(cost.traffic.fetched()),
                    "by_part": cost.traffic.json(cost.operations),
                    "lock_holds_per_op": cost.per_operation(cost.lock_holds),
                    "barriers_per_op": cost.per_operation(cost.barriers),
                })
            })
            .collect();
        let sizes: Vec<_> = self.sizes.iter().map(|(work, memory, cost)| {
            json!({ "work": work.name(), "memory_gib": memory / GIB, "instructions_per_op": cost.each() })
        }).collect();
        let init_times: Vec<_> = self.init_times.iter().map(|(memory, time)| {
            json!({ "memory_gib": memory / GIB, "us_per_gib": micros(*time) / gib(*memory) })
        }).collect();
        json!({ "cpus": simulations, "memory": sizes, "initialisation": init_times })
    }

    /// The costs that are out of bounds, as sentences.
    ///
    /// A cost with many CPUs is bounded by the cost with few. A cost with much memory is bounded by
    /// the cost with the least memory, plus a tenth.
    pub(crate) fn excesses(&self) -> Vec<String> {
        let mut excesses = Vec::new();
        let mut check = |what: String, cost: f64, bound: f64| {
            if cost > bound {
                excesses.push(format!("{what}: {cost:.3}, the bound is {bound:.3}"));
            }
        };
        for (load, cpus, cost) in &self.simulations {
            let with =
                |n| self.simulations.iter().find(|(of, on, _)| of == load && *on == n).map(|(.., cost)| cost);
            let what = |name| format!("{}, {cpus} CPUs, {name}", load.name());
            let instructions = cost.per_operation(cost.instructions);
            if *load == Load::Isolate {
                // Isolation scans the pcplists of every CPU.
                if let Some(one) = with(1) {
                    let bound = *cpus as f64 * one.per_operation(one.instructions);
                    check(what("instructions"), instructions, bound);
                }
                check(what("barriers"), cost.per_operation(cost.barriers), 1.0);
                continue;
            }
            if let Some(two) = with(2).filter(|_| *cpus > 2) {
                let holds = |cost: &Cost| cost.per_operation(cost.lock_holds);
                check(what("instructions"), instructions, 1.5 * two.per_operation(two.instructions));
                check(what("zone locks"), holds(cost), 1.5 * holds(two) + 0.005);
            }
            if let Some(eight) = with(8).filter(|_| *cpus > 8) {
                check(what("lines"), cost.lines(), 2.0 * eight.lines());
            }
        }
        for (work, memory, cost) in &self.sizes {
            let smallest =
                self.sizes.iter().filter(|(of, ..)| of == work).min_by_key(|(_, memory, _)| *memory);
            let scale = |memory: u64| if *work == Work::Init { gib(memory) } else { 1.0 };
            if let Some((_, least, first)) = smallest {
                let what = format!("{}, {} GiB, instructions", work.name(), gib(*memory));
                check(what, cost.each() / scale(*memory), 1.1 * first.each() / scale(*least));
            }
        }
        excesses
    }
}

fn gib(memory: u64) -> f64 {
    memory as f64 / GIB as f64
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.simulations.is_empty() {
            writeln!(f, "{TITLE}\n{}", self.simulation_table())?;
        }
        if !self.sizes.is_empty() {
            writeln!(f, "{}", self.size_table())?;
        }
        Ok(())
    }
}
