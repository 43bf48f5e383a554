//! A model of cache coherence: which CPUs have a copy of a cache line, and what an access costs.
//!
//! The caches have no limit, so that only the traffic of sharing is counted. A store to a line that
//! other CPUs have takes it from them. A load of a line that another CPU has written since this CPU
//! last had it fetches it from there. The first access to a line costs neither.

use std::collections::HashMap;
use std::ops::{AddAssign, Range};

use serde_json::{Value, json};

use crate::machine::Places;

/// The size of a cache line.
const LINE: u64 = 64;

/// The parts of the allocator's records. Traffic is counted for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Zones,
    Pcplists,
    Areas,
    Frames,
    Pageblocks,
}

impl Part {
    pub(crate) const ALL: [Self; 5] =
        [Self::Zones, Self::Pcplists, Self::Areas, Self::Frames, Self::Pageblocks];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Zones => "zones",
            Self::Pcplists => "pcplists",
            Self::Areas => "areas",
            Self::Frames => "frames",
            Self::Pageblocks => "pageblocks",
        }
    }

    fn of(places: &Places, address: u64) -> Option<Self> {
        let range = |part| -> &Range<u64> {
            match part {
                Self::Zones => &places.zones,
                Self::Pcplists => &places.pcplists,
                Self::Areas => &places.areas,
                Self::Frames => &places.frames,
                Self::Pageblocks => &places.pageblocks,
            }
        };
        Self::ALL.into_iter().find(|part| range(*part).contains(&address))
    }
}

/// A kind of access. A locked read-modify-write is a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Load,
    Store,
}

/// The number of transfers of a cache line between CPUs, for each part of the allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Traffic {
    written: [u64; Part::ALL.len()],
    fetched: [u64; Part::ALL.len()],
}

impl Traffic {
    /// The number of stores that took a line from other CPUs.
    pub(crate) fn written(&self) -> u64 {
        self.written.iter().sum()
    }

    /// The number of loads of a line that another CPU had written.
    pub(crate) fn fetched(&self) -> u64 {
        self.fetched.iter().sum()
    }

    /// The transfers of both kinds in one part.
    pub(crate) fn of(&self, part: Part) -> u64 {
        self.written[part as usize] + self.fetched[part as usize]
    }

    pub(crate) fn json(&self, operations: u64) -> Value {
        let per_operation = |counts: [u64; Part::ALL.len()]| -> Value {
            Part::ALL
                .map(|part| (part.name().to_owned(), json!(counts[part as usize] as f64 / operations as f64)))
                .into_iter()
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        json!({ "written": per_operation(self.written), "fetched": per_operation(self.fetched) })
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        for (sum, count) in [(&mut self.written, more.written), (&mut self.fetched, more.fetched)] {
            for (sum, count) in sum.iter_mut().zip(count) {
                *sum += count;
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Line {
    /// A bit for each CPU that has a copy.
    holders: u64,
    writer: Option<u8>,
}

/// The caches of up to 64 CPUs.
#[derive(Default)]
pub(crate) struct Caches {
    lines: HashMap<u64, Line>,
}

impl Caches {
    pub(crate) const CPUS: usize = 64;

    /// Records an access of CPU `cpu` to `bytes` bytes at `address`, and returns its cost.
    ///
    /// Accesses to memory outside of the allocator's records cost nothing.
    pub(crate) fn access(
        &mut self,
        places: &Places,
        cpu: u8,
        access: Access,
        address: u64,
        bytes: u64,
    ) -> Traffic {
        let mut traffic = Traffic::default();
        let Some(part) = Part::of(places, address) else {
            return traffic;
        };
        for number in address / LINE..=(address + bytes.max(1) - 1) / LINE {
            let line = self.lines.entry(number).or_default();
            let this_cpu = 1 << cpu;
            match access {
                Access::Store => {
                    traffic.written[part as usize] += u64::from(line.holders & !this_cpu != 0);
                    *line = Line { holders: this_cpu, writer: Some(cpu) };
                }
                Access::Load => {
                    let remote =
                        line.holders & this_cpu == 0 && line.writer.is_some_and(|writer| writer != cpu);
                    traffic.fetched[part as usize] += u64::from(remote);
                    line.holders |= this_cpu;
                }
            }
        }
        traffic
    }
}
