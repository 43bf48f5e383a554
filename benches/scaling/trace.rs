//! Reads valgrind's trace of the simulation: a line for each instruction and each access to memory.
//!
//! The simulation sends [`Message`]s on the same stream: the addresses of the allocator's records,
//! and its end. Stores to an array of [`Marks`] say which CPU an operation belongs to and where it
//! ends. Accesses between two operations do not count.

use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use crate::coherence::{Access, Caches, Traffic};
use crate::machine::Places;

/// Whether an operation counts. All operations change the state of the caches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Counted,
    Background,
}

/// Marks in the trace: a CPU begins an operation with a store to one of its two elements, for
/// counted and background operations, and ends it with a store to the last element.
pub(crate) struct Marks([AtomicU64; Marks::END + 1]);

impl Marks {
    const END: usize = 2 * Caches::CPUS;

    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; Self::END + 1])
    }

    const fn begin(cpu: usize, role: Role) -> usize {
        match role {
            Role::Counted => cpu,
            Role::Background => Caches::CPUS + cpu,
        }
    }

    pub(crate) fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// Runs an operation of this CPU between its marks.
    #[inline(always)]
    pub(crate) fn operation<R>(&self, cpu: usize, role: Role, f: impl FnOnce() -> R) -> R {
        self.0[Self::begin(cpu, role)].store(1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let result = f();
        compiler_fence(Ordering::SeqCst);
        self.0[Self::END].store(1, Ordering::Relaxed);
        result
    }
}

/// The first character of a message. No line of valgrind begins with it.
const SIGN: char = '@';

/// A message of the simulation.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// The addresses of the marks and of the allocator's records.
    Places { marks: u64, places: Places },
    /// The end: the acquisitions of zones' locks, and the barriers on every CPU, that count.
    Totals { lock_holds: u64, barriers: u64 },
}

impl Message {
    /// The message as one line of text.
    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Places { marks, places: Places { zones, pcplists, areas, frames, pageblocks } } => {
                let mut words = format!("{SIGN}places {marks}");
                for range in [zones, pcplists, areas, frames, pageblocks] {
                    words += &format!(" {} {}", range.start, range.end);
                }
                words + "\n"
            }
            Self::Totals { lock_holds, barriers } => format!("{SIGN}totals {lock_holds} {barriers}\n"),
        }
    }

    fn decode(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(SIGN)?.split_whitespace();
        let name = words.next()?;
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        match (name, numbers.as_slice()) {
            ("places", &[marks, a, b, c, d, e, f, g, h, i, j]) => Some(Self::Places {
                marks,
                places: Places { zones: a..b, pcplists: c..d, areas: e..f, frames: g..h, pageblocks: i..j },
            }),
            ("totals", &[lock_holds, barriers]) => Some(Self::Totals { lock_holds, barriers }),
            _ => None,
        }
    }
}

/// The cost of a simulation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) operations: u64,
    pub(crate) instructions: u64,
    pub(crate) traffic: Traffic,
    pub(crate) lock_holds: u64,
    pub(crate) barriers: u64,
}

/// Reads a trace to its end. An error has the last lines that are not part of a trace.
pub(crate) fn read(mut stream: impl BufRead) -> Result<Cost, String> {
    let mut reader = Reader::default();
    let mut line = Vec::new();
    let mut messages = String::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).map_err(|error| error.to_string())? == 0 {
            break;
        }
        if !reader.line(&line) {
            let text = String::from_utf8_lossy(&line);
            messages = messages.split_off(messages.len().saturating_sub(2000)) + &text;
        }
    }
    let finished = reader.finished.then_some(reader.cost).filter(|cost| cost.operations > 0);
    finished.ok_or_else(|| format!("the simulation did not finish:\n{messages}"))
}

#[derive(Default)]
struct Reader {
    places: Option<(u64, Places)>,
    /// The CPU and the role of the current operation.
    operation: Option<(u8, Role)>,
    finished: bool,
    caches: Caches,
    cost: Cost,
}

impl Reader {
    /// Reads a line. Returns false if it is not part of a trace.
    fn line(&mut self, line: &[u8]) -> bool {
        match line {
            [b'I', b' ', ..] => {
                self.cost.instructions += u64::from(matches!(self.operation, Some((_, Role::Counted))));
                true
            }
            [b' ', b'L', b' ', rest @ ..] => self.access(Access::Load, rest),
            [b' ', b'S' | b'M', b' ', rest @ ..] => self.access(Access::Store, rest),
            [b'@', ..] => std::str::from_utf8(line)
                .ok()
                .and_then(Message::decode)
                .map(|message| self.message(message))
                .is_some(),
            _ => false,
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Places { marks, places } => self.places = Some((marks, places)),
            Message::Totals { lock_holds, barriers } => {
                self.cost = Cost { lock_holds, barriers, ..self.cost };
                self.finished = true;
            }
        }
    }

    fn access(&mut self, access: Access, rest: &[u8]) -> bool {
        let Some((address, bytes)) = parse(rest) else {
            return false;
        };
        let Some((marks, places)) = &self.places else {
            return true;
        };
        let mark = (address.wrapping_sub(*marks) / 8) as usize;
        if mark < Caches::CPUS {
            self.operation = Some((mark as u8, Role::Counted));
        } else if mark < Marks::END {
            self.operation = Some(((mark - Caches::CPUS) as u8, Role::Background));
        } else if mark == Marks::END {
            self.cost.operations += u64::from(matches!(self.operation, Some((_, Role::Counted))));
            self.operation = None;
        } else if let Some((cpu, role)) = self.operation {
            let traffic = self.caches.access(places, cpu, access, address, bytes);
            if role == Role::Counted {
                self.cost.traffic += traffic;
            }
        }
        true
    }
}

/// Parses `04222cac,8`: a hexadecimal address and a number of bytes.
fn parse(rest: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(rest).ok()?.trim_end();
    let (address, bytes) = text.split_once(',')?;
    Some((u64::from_str_radix(address, 16).ok()?, bytes.parse().ok()?))
}
