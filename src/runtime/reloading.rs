//! The event loop's side of a reload: who may ask for one, and what becomes of the plan that it made.

use super::clock;
use super::control;
use super::reload::{Answer, Change, Merged, Verdict, Why};
use super::supervise::Loop;
use crate::config::plan::Signal;
use crate::exit;
use crate::supervisor::event::Replan;
use crate::supervisor::{Action, Id};
use crate::sys;
use std::rc::Rc;

impl Loop<'_> {
    /// Somebody wants a reload; `answer` is told how it ended, which may be at once.
    pub async fn ask_reload(&mut self, who: &str, answer: Option<Answer>) -> Option<u8> {
        if self.core.is_stopping() {
            let text = "cannot reload: the container stops".to_owned();
            tracing::info!("{who}: {text}");
            if let Some(answer) = answer {
                answer(&Verdict { code: exit::of_signal(Signal::TERM.number()), text });
            }
            return None;
        }
        // Not while a thread may be making files: the umask that a socket is made with is the whole process's.
        if !self.reloads.is_under_way() {
            control::renew(self.shell);
        }
        let change = self.reloads.ask(self.shell, Why::Asked(who.to_owned()), answer);
        self.change(change).await
    }

    /// A deadline of the reloads has passed.
    pub async fn reload_due(&mut self) -> Option<u8> {
        let change = self.reloads.due(self.shell);
        self.change(change).await
    }

    /// A thread has done its part of a reload.
    pub async fn reload_made(&mut self) -> Option<u8> {
        let change = self.reloads.go_on(self.shell);
        self.change(change).await
    }

    /// Makes what a reload, or a look at files, has led to, and what was asked for meanwhile.
    pub async fn change(&mut self, change: Option<Change>) -> Option<u8> {
        let mut next = change;
        while let Some(change) = next {
            let ended = match change {
                Change::Plan(merged) => self.replan(*merged).await,
                Change::Signals(signals) => {
                    signals.into_iter().for_each(|(service, signal)| self.notify(&service, signal));
                    None
                }
            };
            if ended.is_some() {
                return ended;
            }
            next = self.reloads.follow(self.shell);
        }
        None
    }

    async fn replan(&mut self, merged: Merged) -> Option<u8> {
        match self.cron.renew(&merged.plan.crons, &merged.retired_crons) {
            // Due before the reload, and so of the plan before it.
            Ok(due) => {
                if let Some(code) = self.due(due).await {
                    return Some(code);
                }
            }
            Err(error) => tracing::error!("cannot set the schedule's timer: {}", sys::words(&error)),
        }
        self.plan = Rc::clone(&self.shell.plan);
        let actions = self.replanned(&merged);
        self.carry_out(actions).await
    }

    fn replanned(&mut self, merged: &Merged) -> Vec<Action> {
        let plan = Replan {
            services: &merged.plan.services,
            retired: &merged.retired,
            changed: &merged.changed,
            crons: &merged.plan.crons,
            retired_crons: &merged.retired_crons,
            stop_timeout: merged.plan.stop_timeout,
        };
        self.core.replan(&plan, clock::now())
    }

    /// Signals the main processes of a service: a file of its own has changed.
    fn notify(&mut self, service: &str, signal: Signal) {
        let Some((unit, plan)) =
            (0..=u16::MAX).zip(&self.plan.services).find(|(_, plan)| plan.name == service)
        else {
            return tracing::debug!("{service} does not run here: nobody is told");
        };
        tracing::info!(service, "sending SIG{signal}: a file has changed");
        for instance in 0..plan.instances {
            self.shell.children.signal(Id::Service { unit, instance }, signal);
        }
    }
}
