//! The services as others may know them: what health checks ask for, and when each became ready for the first time.
//!
//! The loop keeps it fresh after each event, so that nobody has to wait for the loop. Nothing is allocated unless the plan
//! changed, or something is degraded.

use super::board::{Board, SpanId};
use super::probing::Probes;
use super::status;
use crate::config::plan::Plan;
use crate::control::health::{Instance, Service};
use crate::control::protocol::SpanKind;
use crate::supervisor::{Id, State, Supervisor, Want};
use std::collections::HashMap;
use std::rc::Rc;

/// What the board's picture was made from.
#[derive(Default)]
pub struct Mirror {
    plan: Option<Rc<Plan>>,
    /// Which instances it shows, in its order.
    ids: Vec<Id>,
    /// First starts that are not over.
    starts: HashMap<Id, Option<SpanId>>,
}

impl Mirror {
    /// Brings the board's picture up to date.
    pub fn refresh(&mut self, board: &Board, plan: &Rc<Plan>, core: &Supervisor, probes: &Probes) {
        if self.plan.as_ref().is_none_or(|known| !Rc::ptr_eq(known, plan)) {
            self.redraw(board, plan, core);
        }
        let mut services = board.services.borrow_mut();
        let shown = services.iter_mut().flat_map(|service| &mut service.instances);
        for (shown, id) in shown.zip(&self.ids) {
            let Some((state, want)) = core.state(*id) else { continue };
            shown.alive = core.alive(*id);
            shown.degraded = probes.degraded(*id);
            if (shown.state, shown.want) != (state, want) {
                (shown.state, shown.want) = (state, want);
                first_start(&mut self.starts, board, *id, &shown.name, state);
            }
        }
    }

    fn redraw(&mut self, board: &Board, plan: &Rc<Plan>, core: &Supervisor) {
        let first = self.plan.replace(Rc::clone(plan)).is_none();
        self.ids.clear();
        let mut services = Vec::with_capacity(plan.services.len());
        for (service, unit) in plan.services.iter().zip(0..) {
            let mut instances = Vec::new();
            for instance in 0..service.instances {
                let id = Id::Service { unit, instance };
                if core.keeps(id) {
                    self.ids.push(id);
                    instances.push(Instance {
                        name: status::name(plan, id),
                        state: State::Stopped,
                        want: Want::Down,
                        alive: None,
                        degraded: None,
                    });
                }
            }
            // What the plan has no more is nobody's concern.
            if !instances.is_empty() {
                let probed = service.ready.is_some() || service.live.is_some();
                let name = service.name.clone();
                services.push(Service { name, essential: service.essential, probed, instances });
            }
        }
        if first {
            self.starts = self.ids.iter().map(|id| (*id, None)).collect();
        }
        board.services.replace(services);
        board.know(plan);
    }
}

/// The timeline shows the first start of each instance, until it is ready or has failed.
fn first_start(starts: &mut HashMap<Id, Option<SpanId>>, board: &Board, id: Id, name: &str, state: State) {
    let Some(span) = starts.get_mut(&id) else { return };
    match (state, *span) {
        (State::Stopped, _) | (State::Starting, Some(_)) => {}
        (State::Starting, None) => *span = Some(board.begin(SpanKind::Service, name)),
        (state, span) => {
            // One that is up at once was never seen STARTING; it is shown all the same.
            let span = span.unwrap_or_else(|| board.begin(SpanKind::Service, name));
            board.end(span, state == State::Running);
            starts.remove(&id);
        }
    }
}
