//! Cores with a mistake each, made by a wrapper that meddles with events and actions. The simulator must find every one
//! of them, name what it breaks, and tell it in a few lines.

use crate::campaign;
use crate::invariants::Invariant;
use crate::subject::Core;
use php_init::config::plan::{Signal, StopScope};
use php_init::supervisor::{
    Action, Event, ExitStatus, Id, Mono, Replan, State, Supervisor, Target, Verb, Want,
};
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    ForgetsToKill,
    StartsTwice,
    NeverExits,
    RaisesTheStopped,
    LosesARestart,
    MissesAnEnd,
    StartsInTheStop,
    SleepsTooLong,
    WatchesForEver,
    KillsTheLiving,
    ExitsEarly,
    RunsAllThatIsDue,
    IgnoresThePause,
    KeepsWhatIsRetired,
    Hurries,
    HasNoDeadline,
    FailsAStop,
    GoesOnAfterTheExit,
    Panics,
    TellsTwice,
    CountsFreezes,
}

struct Mutant {
    core: Supervisor,
    mistake: Mistake,
    spawned: BTreeSet<Id>,
    /// What somebody stopped last.
    stopped: Option<Id>,
    over: bool,
}

/// Whether an id has been started before; now it has.
fn again(spawned: &mut BTreeSet<Id>, id: Id) -> bool {
    matches!(id, Id::Service { .. }) && !spawned.insert(id)
}

impl Mutant {
    fn meddle(&mut self, event: &Event, stopping: bool, actions: &mut Vec<Action>) {
        let spawned = &mut self.spawned;
        match self.mistake {
            Mistake::ForgetsToKill => actions.retain(|action| !matches!(action, Action::KillGroup { .. })),
            Mistake::StartsTwice => {
                let mut twice =
                    |action: &Action| matches!(action, Action::Spawn { id } if again(spawned, *id));
                if let Some(spawn) = actions.iter().find(|action| twice(action)).cloned() {
                    actions.push(spawn);
                }
            }
            Mistake::NeverExits => actions.retain(|action| !matches!(action, Action::Exit { .. })),
            Mistake::RaisesTheStopped => match (event, self.stopped) {
                (Event::Ask { target: Target::One(id), verb: Verb::Stop }, _) => self.stopped = Some(*id),
                (Event::Exited { id, leftovers: false, .. }, Some(stopped))
                    if *id == stopped && !stopping =>
                {
                    actions.push(Action::Spawn { id: *id });
                }
                _ => {}
            },
            Mistake::LosesARestart => {
                actions.retain(|action| !matches!(action, Action::Spawn { id } if again(spawned, *id)));
            }
            Mistake::StartsInTheStop => {
                if let Event::Exited { id: id @ Id::Service { .. }, leftovers: false, .. } = event
                    && stopping
                    && !self.over
                {
                    actions.push(Action::Spawn { id: *id });
                }
            }
            Mistake::WatchesForEver => {
                actions.retain(|action| !matches!(action, Action::StopLiveness { .. }));
            }
            Mistake::KillsTheLiving => {
                if let Event::Probe { id, ok: true } = event {
                    actions.push(Action::KillGroup { id: *id });
                }
            }
            Mistake::ExitsEarly if *event == Event::Stop && stopping => {
                actions.push(Action::Exit { code: 0 });
            }
            Mistake::RunsAllThatIsDue => {
                if let Event::CronDue { unit } = event
                    && !stopping
                {
                    let run = 1000 + u32::try_from(spawned.len()).unwrap();
                    spawned.insert(Id::Run { unit: *unit, run });
                    actions.push(Action::Spawn { id: Id::Run { unit: *unit, run } });
                }
            }
            Mistake::TellsTwice => {
                if let Event::Exited { id, leftovers: true, .. } = event
                    && stopping
                {
                    let (scope, signal) = (StopScope::Group, Signal::TERM);
                    actions.push(Action::Stop { id: *id, scope, signal });
                }
            }
            Mistake::FailsAStop => {
                for action in actions.iter_mut() {
                    if let Action::Exit { code } = action {
                        *code = 1;
                    }
                }
            }
            Mistake::GoesOnAfterTheExit if self.over => actions.push(Action::CountOrphans),
            _ => {}
        }
        self.over |= actions.iter().any(|action| matches!(action, Action::Exit { .. }));
    }
}

impl Core for Mutant {
    fn handle(&mut self, mut event: Event, now: Mono, actions: &mut Vec<Action>) {
        match (&mut event, self.mistake) {
            (Event::Exited { status, .. }, Mistake::MissesAnEnd) if *status == ExitStatus::Code(255) => {
                return;
            }
            (Event::Exited { status, .. }, Mistake::Panics) => {
                assert!(*status != ExitStatus::Code(12), "there is no such code");
            }
            (Event::Exited { leftovers, .. }, Mistake::Hurries) => *leftovers = false,
            (Event::Pause, Mistake::IgnoresThePause) => return,
            (Event::Frozen { .. }, Mistake::CountsFreezes) => event = Event::Deadline,
            _ => {}
        }
        let told = event.clone();
        self.core.handle_all([event], now, actions);
        let stopping = self.core.is_stopping();
        self.meddle(&told, stopping, actions);
    }

    fn replan(&mut self, plan: &Replan<'_>, now: Mono, actions: &mut Vec<Action>) {
        let mut plan = *plan;
        if self.mistake == Mistake::KeepsWhatIsRetired {
            plan.retired = &[];
        }
        actions.extend(self.core.replan(&plan, now));
    }

    fn next_deadline(&self) -> Option<Mono> {
        let deadline = self.core.next_deadline()?;
        match self.mistake {
            Mistake::SleepsTooLong => Some(deadline.after(Duration::from_secs(300))),
            Mistake::HasNoDeadline if !self.core.is_stopping() => None,
            _ => Some(deadline),
        }
    }

    fn is_stopping(&self) -> bool {
        self.core.is_stopping()
    }

    fn state(&self, id: Id) -> Option<(State, Want)> {
        self.core.state(id)
    }

    fn core(&self) -> &Supervisor {
        &self.core
    }
}

macro_rules! found {
    ($($test:ident $mistake:ident breaks $($invariant:ident)|+;)*) => {
        $(
            #[test]
            fn $test() {
                fn mutant(core: Supervisor) -> Mutant {
                    let mistake = Mistake::$mistake;
                    Mutant { core, mistake, spawned: BTreeSet::new(), stopped: None, over: false }
                }
                std::panic::set_hook(Box::new(|_| {}));
                let seed = campaign::run(0..10_000, 1, mutant).failed.expect("a seed that finds it");
                let story = campaign::story(seed, mutant).expect("the same seed finds it again");
                let _ = std::panic::take_hook();
                assert!(matches!(story.invariant, $(Invariant::$invariant)|+), "{}", story.text);
                let told = story.trace.iter().filter(|line| line.starts_with("t+")).count();
                assert!(told <= 12, "{told} events are too many to read:\n{}", story.text);
            }
        )*
    };
}

found! {
    one_that_forgets_to_kill_is_found ForgetsToKill breaks Killed | EveryoneTold | ClearGround | NothingLeft;
    one_that_starts_twice_is_found StartsTwice breaks OneProcess;
    one_that_never_exits_is_found NeverExits breaks StopEnds;
    one_that_raises_the_stopped_is_found RaisesTheStopped breaks StoppedStaysDown;
    one_that_loses_a_restart_is_found LosesARestart breaks Agreed;
    one_that_misses_an_end_is_found MissesAnEnd breaks Agreed;
    one_that_starts_in_the_stop_is_found StartsInTheStop breaks NothingInStop;
    one_that_sleeps_too_long_is_found SleepsTooLong breaks StopEnds | Killed;
    one_that_watches_for_ever_is_found WatchesForEver breaks Watched;
    one_that_kills_the_living_is_found KillsTheLiving breaks KillsTheTold;
    one_that_exits_early_is_found ExitsEarly breaks EveryoneTold | NothingLeft | LastWord;
    one_that_runs_all_that_is_due_is_found RunsAllThatIsDue breaks Overlap | PlannedOnly | NothingBeforeBoot;
    one_that_ignores_the_pause_is_found IgnoresThePause breaks PauseHolds;
    one_that_keeps_what_is_retired_is_found KeepsWhatIsRetired breaks PlannedOnly | Settles | Ordered;
    one_that_hurries_is_found Hurries breaks ClearGround | Agreed;
    one_that_has_no_deadline_is_found HasNoDeadline breaks Awaited;
    one_that_fails_a_stop_is_found FailsAStop breaks CleanExit;
    one_that_goes_on_after_the_exit_is_found GoesOnAfterTheExit breaks LastWord;
    one_that_tells_twice_is_found TellsTwice breaks TermOnce;
    one_that_counts_freezes_is_found CountsFreezes breaks InTime;
    one_that_panics_is_found Panics breaks NoPanic;
}
