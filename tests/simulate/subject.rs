//! What the simulator drives: the core itself, or one that something is wrong with.

use php_init::supervisor::{Action, Event, Id, Mono, Replan, State, Supervisor, Want};

pub trait Core {
    fn handle(&mut self, event: Event, now: Mono, actions: &mut Vec<Action>);
    fn handle_all(&mut self, events: Vec<Event>, now: Mono, actions: &mut Vec<Action>) {
        events.into_iter().for_each(|event| self.handle(event, now, actions));
    }
    fn replan(&mut self, plan: &Replan<'_>, now: Mono, actions: &mut Vec<Action>);
    fn next_deadline(&self) -> Option<Mono>;
    fn is_stopping(&self) -> bool;
    fn state(&self, id: Id) -> Option<(State, Want)>;
    fn core(&self) -> &Supervisor;
}

impl Core for Supervisor {
    fn handle(&mut self, event: Event, now: Mono, actions: &mut Vec<Action>) {
        Self::handle_all(self, [event], now, actions);
    }

    fn handle_all(&mut self, events: Vec<Event>, now: Mono, actions: &mut Vec<Action>) {
        Self::handle_all(self, events, now, actions);
    }

    fn replan(&mut self, plan: &Replan<'_>, now: Mono, actions: &mut Vec<Action>) {
        actions.extend(Self::replan(self, plan, now));
    }

    fn next_deadline(&self) -> Option<Mono> {
        Self::next_deadline(self)
    }

    fn is_stopping(&self) -> bool {
        Self::is_stopping(self)
    }

    fn state(&self, id: Id) -> Option<(State, Want)> {
        Self::state(self, id)
    }

    fn core(&self) -> &Supervisor {
        self
    }
}
