//! The properties of every state, and the searches.

use std::collections::{BTreeMap, HashMap};
use std::mem::{Discriminant, discriminant};
use std::sync::{Mutex, OnceLock};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::state::{CPUS, Cpu, FRAMES, Record, State, Store, is_inside};
use crate::steps::{self, Step, Without};
use crate::view::{Change, changes};

/// The kinds of steps, without `ReadSlotFirst`, which is for a protocol that is wrong.
const STEPS: usize = Step::KINDS - 1;

/// The protocol, how often each kind of step was taken, and what the steps do to a pageblock.
struct Protocol {
    without: Without,
    /// By kind, one of them and the number.
    taken: Mutex<HashMap<Discriminant<Step>, (Step, u64)>>,
    changes: Mutex<Changes>,
}

/// What can be seen of a pageblock before and after a step, and the steps that do that.
pub(crate) type Changes = BTreeMap<Change, Vec<Step>>;

impl Protocol {
    fn new(without: Without) -> Self {
        Self { without, taken: Mutex::default(), changes: Mutex::default() }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = (Cpu, Step);

    fn init_states(&self) -> Vec<State> {
        vec![State::new()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<(Cpu, Step)>) {
        (0..CPUS).for_each(|cpu| steps::steps(state, cpu, self.without, actions));
    }

    fn next_state(&self, last: &State, (cpu, step): (Cpu, Step)) -> Option<State> {
        let mut next = last.clone();
        steps::apply(&mut next, cpu, step, self.without);
        self.taken.lock().unwrap().entry(discriminant(&step)).or_insert((step, 0)).1 += 1;
        if self.without == Without::Nothing {
            let mut all = self.changes.lock().unwrap();
            for change in changes(last, &next) {
                let steps = all.entry(change).or_default();
                if !steps.iter().any(|other| discriminant(other) == discriminant(&step)) {
                    steps.push(step);
                }
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the counter is the number of free pages", |_, state: &State| {
                let free = state.records.iter().filter(|record| **record == Record::Free).count();
                usize::from(state.counter) == free
            }),
            Property::always("no page of an isolated pageblock is free", |_, state: &State| {
                !state.isolated
                    || (0..FRAMES).all(|frame| !is_inside(frame) || state.records[frame] != Record::Free)
            }),
            Property::always(
                "no page of a drained isolated pageblock is on a pcplist",
                |_, state: &State| {
                    !state.is_drained()
                        || (0..CPUS).all(|cpu| on_list(state, cpu).all(|frame| !is_inside(frame)))
                },
            ),
            Property::always("a page is on the list of the CPU that its record names", |_, state: &State| {
                (0..CPUS).all(|cpu| {
                    (0..FRAMES).all(|frame| {
                        let on_list = state.lists[cpu] & 1 << frame != 0;
                        on_list == (state.records[frame] == Record::Cached(cpu))
                    })
                })
            }),
            Property::always("no two CPUs use a list at once", |_, state: &State| !state.clash),
            Property::always("no hold finds an impossible record", |_, state: &State| !state.impossible),
            Property::always("some CPU can go on", |model: &Self, state: &State| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                !actions.is_empty()
            }),
        ]
    }
}

/// The frames on a list, those included that others do not see there yet.
fn on_list(state: &State, cpu: Cpu) -> impl Iterator<Item = usize> {
    let pushed = state.stores[cpu].iter().filter_map(|store| match store {
        Store::Push(frame) => Some(*frame),
        _ => None,
    });
    (0..FRAMES).filter(move |frame| state.lists[cpu] & 1 << frame != 0).chain(pushed)
}

/// Searches all states once, and returns what the steps do to a pageblock.
pub(crate) fn every_change() -> &'static Changes {
    static ALL: OnceLock<Changes> = OnceLock::new();
    ALL.get_or_init(|| {
        let checker = Protocol::new(Without::Nothing).checker().threads(2);
        let checker = checker.finish_when(HasDiscoveries::Any).spawn_bfs().join();
        checker.assert_properties();
        let taken = checker.model().taken.lock().unwrap();
        let taken: BTreeMap<String, u64> =
            taken.values().map(|(step, times)| (step.name(), *times)).collect();
        println!(
            "three CPUs: {} states, {} transitions, {} of {} kinds of steps",
            checker.unique_state_count(),
            taken.values().sum::<u64>(),
            taken.len(),
            STEPS
        );
        taken.iter().for_each(|(step, times)| println!("  {step}: {times}"));
        assert_eq!(taken.len(), STEPS, "steps that are never taken");
        checker.model().changes.lock().unwrap().clone()
    })
}

#[test]
fn every_state_of_three_cpus_is_right() {
    assert!(every_change().len() > 10);
}

/// Each step of the protocol, left out, leads to a state that is wrong, and stateright has the
/// shortest way to it.
#[test]
fn each_step_left_out_is_found() {
    for without in [
        Without::Revoke,
        Without::Barrier,
        Without::Wait,
        Without::CountOfRevocations,
        Without::RevokedCheck,
        Without::SlotCheck,
        Without::SlotAfterAccess,
        Without::Drain,
        Without::MarkBeforeDrain,
        Without::TypeInHold,
        Without::CountInUndo,
        Without::PinCheck,
    ] {
        let checker = Protocol::new(without).checker().finish_when(HasDiscoveries::Any).spawn_bfs().join();
        let mut found: Vec<_> = checker.discoveries().into_iter().collect();
        found.sort_by_key(|(_, path)| path.clone().into_actions().len());
        let (property, path) =
            found.first().unwrap_or_else(|| panic!("without {without:?} nothing is wrong"));
        let actions = path.clone().into_actions();
        println!("without {without:?}, not so: {property}, after {} steps:", actions.len());
        println!(
            "  {}",
            actions.iter().map(|(cpu, step)| format!("{cpu}:{step:?}")).collect::<Vec<_>>().join(" ")
        );
    }
}
