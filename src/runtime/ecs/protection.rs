//! Scale-in protection: taps the workers' output, and tells the agent what the [`Guard`] decides.

use super::client;
use super::guard::{Ask, Guard, Step};
use super::jobs::Jobs;
use crate::config::plan::{EcsPlan, ServicePlan};
use crate::runtime::board::Board;
use crate::runtime::clock;
use crate::runtime::relay::Tap;
use crate::supervisor::{Id, Mono};
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// Set by the agent in every container of a task that may ask for protection.
pub const VARIABLE: &str = "ECS_AGENT_URI";

/// The agent itself gives up on ECS after four seconds (ecs-agent, taskprotection/v1/handlers).
const LIMIT: Duration = Duration::from_secs(5);
/// How much of the stop the last request may take.
const LAST_LIMIT: Duration = Duration::from_secs(2);

/// What is on the board while the feature is used.
const FACT: &str = "protected";

/// The protection of this task; empty where nobody asked for it or nobody can give it.
#[derive(Clone, Default)]
pub struct Protection(Option<Rc<Inner>>);

struct Inner {
    plan: EcsPlan,
    url: String,
    board: Rc<Board>,
    workers: RefCell<HashMap<Id, Rc<RefCell<Jobs>>>>,
    guard: RefCell<Guard>,
    /// The agent's last refusal, so that it is told once.
    refusal: RefCell<Option<String>>,
    changed: Notify,
    released: Notify,
    /// A request is on its way.
    asking: Cell<bool>,
}

impl Protection {
    /// Watches over the jobs of the services that `plan` names; `agent` is what [`VARIABLE`] says.
    pub fn start(plan: &EcsPlan, agent: Option<&str>, board: &Rc<Board>) -> Self {
        if plan.protected.is_empty() {
            return Self::default();
        }
        let Some(agent) = agent.filter(|agent| !agent.is_empty()) else {
            tracing::info!("no scale-in protection: {VARIABLE} is not set, so this is no task of ECS");
            return Self::default();
        };
        let inner = Rc::new(Inner {
            plan: plan.clone(),
            url: format!("{}/task-protection/v1/state", agent.trim_end_matches('/')),
            board: Rc::clone(board),
            workers: RefCell::default(),
            guard: RefCell::new(Guard::new(plan.release_after)),
            refusal: RefCell::default(),
            changed: Notify::new(),
            released: Notify::new(),
            asking: Cell::new(false),
        });
        inner.show();
        tokio::task::spawn_local(Rc::clone(&inner).live());
        Self(Some(inner))
    }

    /// What sees the output of a new process of `service`, where its jobs protect the task.
    pub fn tap(&self, id: Id, service: &ServicePlan) -> Option<Tap> {
        let inner = self.0.as_ref().filter(|inner| inner.plan.protected.contains(&service.name))?;
        let jobs = Rc::new(RefCell::new(Jobs::new(&service.command)));
        inner.workers.borrow_mut().insert(id, Rc::clone(&jobs));
        // What a process wrote may arrive after the next one was started: it counts for its own alone.
        let (jobs, inner) = (Rc::downgrade(&jobs), Rc::downgrade(inner));
        Some(Rc::new(move |bytes: &[u8]| {
            let (Some(jobs), Some(inner)) = (jobs.upgrade(), inner.upgrade()) else { return };
            if jobs.borrow_mut().feed(bytes, clock::now()) {
                inner.changed.notify_one();
            }
        }))
    }

    /// The process has ended, and with it its jobs.
    pub fn gone(&self, id: Id) {
        if let Some(inner) = &self.0
            && inner.workers.borrow_mut().remove(&id).is_some()
        {
            inner.changed.notify_one();
        }
    }

    /// The container stops.
    pub fn stop(&self) {
        if let Some(inner) = &self.0 {
            inner.guard.borrow_mut().stop();
            inner.changed.notify_one();
        }
    }

    /// Everything has ended: releases what is still protected, within `left`.
    pub async fn finish(&self, left: Duration) {
        let Some(inner) = &self.0 else { return };
        inner.workers.borrow_mut().clear();
        self.stop();
        let released = async {
            while inner.guard.borrow().is_protected() || inner.asking.get() {
                inner.released.notified().await;
            }
        };
        if tokio::time::timeout(left.min(LAST_LIMIT), released).await.is_err() {
            tracing::warn!(
                "the task stays protected from scale-in for some minutes: the agent did not answer"
            );
        }
    }
}

impl Inner {
    async fn live(self: Rc<Self>) {
        loop {
            let now = clock::now();
            let busy = self.busy(now);
            let step = self.guard.borrow_mut().step(busy, now);
            match step {
                Step::Ask(ask) => self.ask(ask, now).await,
                Step::Wait(at) => {
                    self.show();
                    self.released.notify_one();
                    // A job that has lasted too long stops to count.
                    let over = busy.map(|began| began.after(self.plan.max_job));
                    let at = [at, over].into_iter().flatten().min();
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = clock::until(at) => {}
                    }
                }
            }
        }
    }

    fn busy(&self, now: Mono) -> Option<Mono> {
        let workers = self.workers.borrow();
        workers.values().filter_map(|jobs| jobs.borrow().since(now, self.plan.max_job)).min()
    }

    async fn ask(&self, ask: Ask, asked: Mono) {
        let body = match ask {
            Ask::Protect { minutes } => {
                format!("{{\"ProtectionEnabled\":true,\"ExpiresInMinutes\":{minutes}}}")
            }
            Ask::Release => "{\"ProtectionEnabled\":false}".to_owned(),
        };
        self.asking.set(true);
        let outcome = match tokio::time::timeout(LIMIT, client::request("PUT", &self.url, Some(&body))).await
        {
            Ok(Ok(answer)) => verdict(answer.status, &answer.body),
            Ok(Err(why)) => Err(why),
            Err(_) => Err("the agent does not answer".to_owned()),
        };
        self.asking.set(false);
        let before = self.guard.borrow().is_protected();
        self.guard.borrow_mut().answered(ask, outcome.is_ok(), asked, clock::now());
        let after = self.guard.borrow().is_protected();
        match outcome {
            Ok(()) => {
                self.refusal.take();
                match (before, after) {
                    (false, true) => {
                        tracing::info!("a worker has a job: the task is protected from scale-in")
                    }
                    (true, false) => tracing::info!("the task is not protected from scale-in any more"),
                    _ => tracing::debug!("the protection from scale-in is renewed"),
                }
            }
            Err(why) => {
                let told = self.refusal.replace(Some(why.clone()));
                if told.as_ref() != Some(&why) {
                    let what = if ask == Ask::Release { "release the task from" } else { "get" };
                    tracing::warn!("cannot {what} scale-in protection: {why}; trying again");
                }
            }
        }
    }

    fn show(&self) {
        let protected = self.guard.borrow().is_protected().to_string();
        self.board.ecs.borrow_mut().insert(FACT.to_owned(), protected);
    }
}

/// What the agent made of a request. It says `protection`, or why there is none as `failure` (of ECS) or `error`.
fn verdict(status: u16, body: &[u8]) -> Result<(), String> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Why {
        reason: Option<String>,
        detail: Option<String>,
        code: Option<String>,
        message: Option<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        protection: Option<serde_json::Value>,
        failure: Option<Why>,
        error: Option<Why>,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let Some(why) = said.failure.or(said.error) else {
        return match (status, said.protection) {
            (200, Some(_)) => Ok(()),
            (404, _) => Err("the agent does not know task protection: it is too old".to_owned()),
            _ => Err(format!("the agent answers with status {status}")),
        };
    };
    let code = why.reason.or(why.code).unwrap_or_default();
    let text = why.detail.or(why.message).unwrap_or_default();
    let remedy = match code.as_str() {
        "AccessDeniedException" => "; allow ecs:UpdateTaskProtection in the task role",
        "TASK_NOT_VALID" => "; only tasks of a service can be protected",
        _ => "",
    };
    let shown: String =
        format!("{code} {text}").trim().chars().filter(|char| !char.is_control()).take(300).collect();
    Err(format!("{shown}{remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_answers_are_told_in_words() {
        let good = br#"{"protection":{"ProtectionEnabled":true,"ExpirationDate":"2026-11-22T03:00:00Z","TaskArn":"a"}}"#;
        assert_eq!(verdict(200, good), Ok(()));
        let denied = br#"{"requestID":"1","error":{"Arn":"a","Code":"AccessDeniedException","Message":"User: arn:x is not authorized"}}"#;
        assert_eq!(
            verdict(400, denied).unwrap_err(),
            "AccessDeniedException User: arn:x is not authorized; allow ecs:UpdateTaskProtection in the task role"
        );
        for failure in [
            &br#"{"failure":{"Arn":"a","Reason":"TASK_NOT_VALID","Detail":null}}"#[..],
            br#"{"failure":{"Arn":"a","Reason":"TASK_NOT_VALID"}}"#,
        ] {
            assert_eq!(
                verdict(200, failure).unwrap_err(),
                "TASK_NOT_VALID; only tasks of a service can be protected"
            );
        }
        assert!(verdict(404, b"404 page not found").unwrap_err().contains("too old"));
        assert!(verdict(200, b"").is_err());
        assert!(
            verdict(504, br#"{"error":{"Code":"RequestCanceled"}}"#).unwrap_err().contains("RequestCanceled")
        );
    }
}
