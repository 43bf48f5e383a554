//! The results of a run: the best of all passes, and the figures that reports show.
//!
//! A [`Row`] is one figure of one workload, for all allocators: a line of the table, an object in
//! JSON, or a line of the plot.

use std::collections::BTreeMap;

use crate::callgrind::Instructions;
use crate::measure::Found;
use crate::peer::PeerId;
use crate::workloads::init::InitCost;
use crate::workloads::list::{Kind, Workload};

/// Counted instructions, and the operations that they were spent on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) instructions: Instructions,
    /// The number of pairs, or of initialisations.
    pub(crate) times: u64,
}

/// The results of a run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    found: BTreeMap<(Workload, PeerId), Found>,
    counted: BTreeMap<(Workload, PeerId), Counted>,
}

/// Which of two figures is the better one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Better {
    Lower,
    Higher,
    /// The row has words, or explains another row.
    Neither,
}

impl Better {
    /// The value in JSON.
    pub(crate) const fn key(self) -> Option<&'static str> {
        match self {
            Self::Lower => Some("lower"),
            Self::Higher => Some("higher"),
            Self::Neither => None,
        }
    }

    fn best(self, figures: impl Iterator<Item = f64>) -> Option<f64> {
        match self {
            Self::Lower => figures.reduce(f64::min),
            Self::Higher => figures.reduce(f64::max),
            Self::Neither => None,
        }
    }
}

/// A figure, or a word.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Number(f64),
    /// A figure that is shown but not compared, because the allocator does a part of the work
    /// elsewhere.
    Aside(f64),
    Word(String),
}

/// The unit of the throughput of two threads as a multiple of that of one.
const SCALING: &str = "scaling";

/// One figure of one workload.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) workload: Workload,
    /// The unit of the figure.
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) values: BTreeMap<PeerId, Value>,
}

/// A figure of pageblock that misses its target or trails the best published allocator.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Shortcoming {
    /// The target that it misses.
    pub(crate) misses: Option<f64>,
    /// Whether a published allocator has a better figure.
    pub(crate) trails: bool,
}

impl Row {
    fn number(&self, peer: PeerId) -> Option<f64> {
        match self.values.get(&peer) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// The best figure of the published allocators.
    pub(crate) fn best(&self) -> Option<f64> {
        let competing = self.values.keys().filter(|peer| peer.competes());
        self.better.best(competing.filter_map(|&peer| self.number(peer)))
    }

    /// The figure of pageblock in this mode as a multiple of [`best`](Self::best).
    pub(crate) fn ratio(&self, mode: PeerId) -> Option<f64> {
        let ratio = self.number(mode)? / self.best()?;
        // The best figure may be 0.
        ratio.is_finite().then_some(ratio)
    }

    /// The target for pageblock in this mode: at most as many instructions, or at least that
    /// scaling.
    pub(crate) fn target(&self, mode: PeerId) -> Option<f64> {
        if self.unit == SCALING {
            return self.workload.scaling_target().filter(|_| mode.is_ours());
        }
        let (default, owner_only) = self.workload.targets().filter(|_| self.unit == "instructions")?;
        match mode {
            PeerId::OursDefault => Some(default),
            PeerId::Ours => Some(owner_only),
            _ => None,
        }
    }

    /// What is not as it should be with the figure of pageblock in this mode.
    pub(crate) fn shortcoming(&self, mode: PeerId) -> Option<Shortcoming> {
        let figure = self.number(mode)?;
        let trails = self.best().is_some_and(|best| match self.better {
            Better::Lower => figure > best,
            Better::Higher => figure < best,
            Better::Neither => false,
        });
        let misses = self.target(mode).filter(|target| match self.better {
            Better::Higher => figure < *target,
            Better::Lower | Better::Neither => figure > *target,
        });
        (misses.is_some() || trails).then_some(Shortcoming { misses, trails })
    }
}

impl Results {
    /// Keeps the better one of this result and the earlier ones.
    pub(crate) fn add(&mut self, peer: PeerId, workload: Workload, found: Found) {
        let best = match (self.found.remove(&(workload, peer)), found) {
            (Some(Found::Steady(one)), Found::Steady(other)) => {
                Found::Steady(if one.ns_per_pair <= other.ns_per_pair { one } else { other })
            }
            (Some(Found::Threads(mut one)), Found::Threads(other)) => {
                one.one = one.one.max(other.one);
                // `None` compares as less than any number.
                one.two = if one.two > other.two { one.two } else { other.two };
                Found::Threads(one)
            }
            (Some(Found::Init(one)), Found::Init(other)) => Found::Init(InitCost {
                us_per_gib: one.us_per_gib.min(other.us_per_gib),
                us_per_gib_mapped: one.us_per_gib_mapped.min(other.us_per_gib_mapped),
                ..other
            }),
            (_, found) => found,
        };
        self.found.insert((workload, peer), best);
    }

    pub(crate) fn count(&mut self, peer: PeerId, workload: Workload, counted: Counted) {
        self.counted.insert((workload, peer), counted);
    }

    /// All rows, workload by workload, instructions first.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Workload::ALL.iter().flat_map(|&workload| self.rows_of(workload)).collect();
        rows.retain(|row| !row.values.is_empty());
        rows
    }

    fn rows_of(&self, workload: Workload) -> Vec<Row> {
        use Better::{Higher, Lower, Neither};
        let found = |unit, better, value: &dyn Fn(&Found) -> Option<Value>| {
            let values = self.of(&self.found, workload).filter_map(|(peer, it)| Some((peer, value(it)?)));
            Row { workload, unit, better, values: values.collect() }
        };
        let counted = |unit, better, value: &dyn Fn(&Instructions) -> f64, each: f64| {
            let values = self
                .of(&self.counted, workload)
                .map(|(peer, it)| (peer, Value::Number(value(&it.instructions) / it.times as f64 / each)));
            Row { workload, unit, better, values: values.collect() }
        };
        match workload.kind() {
            Kind::Steady => vec![
                counted("instructions", Lower, &|it| (it.alloc + it.free) as f64, 1.0),
                counted("of these alloc", Neither, &|it| it.alloc as f64, 1.0),
                found("ns", Lower, &|it| match it {
                    Found::Steady(rounds) => rounds.ns_per_pair.map(Value::Number),
                    _ => None,
                }),
                found("failures", Neither, &|it| match it {
                    Found::Steady(rounds) if rounds.failures > 0 => {
                        Some(Value::Number(rounds.failures as f64))
                    }
                    _ => None,
                }),
            ],
            Kind::Machine => {
                vec![counted("instructions", Lower, &|it| (it.alloc + it.free) as f64, 1.0)]
            }
            Kind::Threads => vec![
                found("M pairs/s, 1 thread", Higher, &|it| match it {
                    Found::Threads(scaling) => Some(Value::Number(scaling.one)),
                    _ => None,
                }),
                found("M pairs/s, 2 threads", Higher, &|it| match it {
                    Found::Threads(scaling) => scaling.two.map(Value::Number),
                    _ => None,
                }),
                found(SCALING, Higher, &|it| match it {
                    Found::Threads(scaling) => scaling.two.map(|two| Value::Number(two / scaling.one)),
                    _ => None,
                }),
                found("shared lines", Neither, &|it| match it {
                    Found::Threads(scaling) => {
                        scaling.shared_lines.map(|lines| Value::Word(lines.to_string()))
                    }
                    _ => None,
                }),
            ],
            Kind::Init => {
                let time = |cost: &InitCost, us| match cost.bytes_per_frame {
                    Some(_) => Value::Number(us),
                    None => Value::Aside(us),
                };
                vec![
                    counted("instructions/GiB", Neither, &|it| it.init as f64, 4.0),
                    found("us/GiB, page faults", Lower, &|it| match it {
                        Found::Init(cost) => Some(time(cost, cost.us_per_gib)),
                        _ => None,
                    }),
                    found("us/GiB, mapped", Lower, &|it| match it {
                        Found::Init(cost) => Some(time(cost, cost.us_per_gib_mapped)),
                        _ => None,
                    }),
                    found("record bytes/frame", Lower, &|it| match it {
                        Found::Init(cost) => Some(match cost.bytes_per_frame {
                            Some(bytes) => Value::Number(bytes),
                            None => Value::Word("heap".to_owned()),
                        }),
                        _ => None,
                    }),
                ]
            }
            Kind::Fragmentation => vec![
                found("of ideal", Higher, &|it| match it {
                    Found::Fragmentation(huge) => {
                        Some(Value::Number(huge.obtained as f64 / huge.ideal as f64))
                    }
                    _ => None,
                }),
                found("blocks of possible", Neither, &|it| match it {
                    Found::Fragmentation(huge) => {
                        Some(Value::Word(format!("{}/{}", huge.obtained, huge.possible)))
                    }
                    _ => None,
                }),
                found("failures", Neither, &|it| match it {
                    Found::Fragmentation(huge) if huge.failures > 0 => {
                        Some(Value::Number(huge.failures as f64))
                    }
                    _ => None,
                }),
            ],
            Kind::Exhaust => vec![found("frames", Neither, &|it| match it {
                Found::Exhaust(it) => Some(Value::Word(format!("{}/{}", it.given_again, it.freed))),
                _ => None,
            })],
            Kind::Misuse => vec![found("", Neither, &|it| match it {
                Found::Misuse(verdict) => Some(Value::Word(verdict.title().to_owned())),
                _ => None,
            })],
        }
    }

    fn of<'a, T>(
        &self,
        all: &'a BTreeMap<(Workload, PeerId), T>,
        workload: Workload,
    ) -> impl Iterator<Item = (PeerId, &'a T)> {
        all.iter().filter(move |((of, _), _)| *of == workload).map(|((_, peer), it)| (*peer, it))
    }

    /// The unprocessed results.
    pub(crate) fn found(&self) -> impl Iterator<Item = (Workload, PeerId, &Found)> {
        self.found.iter().map(|(&(workload, peer), it)| (workload, peer, it))
    }
}
