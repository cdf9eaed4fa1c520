//! The services as others may know them: what health checks ask for, and when each became ready for the first time.
//!
//! The loop keeps it fresh after each event, so that nobody has to wait for the loop. Nothing is allocated unless the plan
//! changed.

use super::board::{Board, SpanId};
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
    /// First starts that are not over.
    starts: HashMap<Id, Option<SpanId>>,
}

impl Mirror {
    /// Brings the board's picture up to date.
    pub fn refresh(&mut self, board: &Board, plan: &Rc<Plan>, core: &Supervisor) {
        if self.plan.as_ref().is_none_or(|known| !Rc::ptr_eq(known, plan)) {
            self.redraw(board, plan);
        }
        let mut services = board.services.borrow_mut();
        for (service, unit) in services.iter_mut().zip(0..) {
            for (shown, instance) in service.instances.iter_mut().zip(0..) {
                let id = Id::Service { unit, instance };
                let Some((state, want)) = core.state(id) else { continue };
                if (shown.state, shown.want) != (state, want) {
                    (shown.state, shown.want) = (state, want);
                    self.first_start(board, id, &shown.name, state);
                }
            }
        }
    }

    fn redraw(&mut self, board: &Board, plan: &Rc<Plan>) {
        let first = self.plan.replace(Rc::clone(plan)).is_none();
        let services: Vec<Service> = plan
            .services
            .iter()
            .zip(0..)
            .map(|(service, unit)| Service {
                name: service.name.clone(),
                essential: service.essential,
                probed: service.ready.is_some(),
                instances: (0..service.instances)
                    .map(|instance| Instance {
                        name: status::name(plan, Id::Service { unit, instance }),
                        state: State::Stopped,
                        want: Want::Down,
                        alive: None,
                        degraded: None,
                    })
                    .collect(),
            })
            .collect();
        if first {
            let ids = services.iter().zip(0..).flat_map(|(service, unit)| {
                (0..).zip(&service.instances).map(move |(instance, _)| Id::Service { unit, instance })
            });
            self.starts = ids.map(|id| (id, None)).collect();
        }
        *board.services.borrow_mut() = services;
        board.know(plan);
    }

    /// The timeline shows the first start of each instance, until it is ready or has failed.
    fn first_start(&mut self, board: &Board, id: Id, name: &str, state: State) {
        let Some(span) = self.starts.get_mut(&id) else { return };
        match (state, *span) {
            (State::Stopped, _) => {}
            (State::Starting, None) => *span = Some(board.begin(SpanKind::Service, name)),
            (State::Starting, Some(_)) => {}
            (state, span) => {
                if let Some(span) = span {
                    board.end(span, state == State::Running);
                }
                self.starts.remove(&id);
            }
        }
    }
}
