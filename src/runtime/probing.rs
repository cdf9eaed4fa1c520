//! Readiness probes as tasks: each asks until the answer is yes, then ends.

use super::clock;
use crate::config::plan::ReadyPlan;
use crate::probe::{self, Outcome};
use crate::supervisor::event::Id;
use crate::supervisor::words::Words;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The pause after the first attempt; it doubles up to the plan's interval. PHP-FPM is up within some 30 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Answers that wait for the loop; a probe says yes once, so this is only a bound.
const ANSWERS: usize = 64;

/// The probes that run.
pub struct Probes {
    /// Each with its number: the answer of one that was stopped may be on its way when the next has been started.
    tasks: HashMap<Id, (u64, AbortHandle)>,
    started: u64,
    sender: mpsc::Sender<(Id, u64)>,
    answers: mpsc::Receiver<(Id, u64)>,
}

impl Default for Probes {
    fn default() -> Self {
        let (sender, answers) = mpsc::channel(ANSWERS);
        Self { tasks: HashMap::new(), started: 0, sender, answers }
    }
}

impl Probes {
    /// Starts to ask; an earlier probe of the same instance ends.
    pub fn start(&mut self, id: Id, name: String, plan: ReadyPlan) {
        self.stop(id);
        self.started = self.started.wrapping_add(1);
        let (number, sender) = (self.started, self.sender.clone());
        let task = tokio::task::spawn_local(async move {
            ask(&name, &plan).await;
            let _ = sender.send((id, number)).await;
        });
        self.tasks.insert(id, (number, task.abort_handle()));
    }

    /// Stops asking.
    pub fn stop(&mut self, id: Id) {
        if let Some((_, task)) = self.tasks.remove(&id) {
            task.abort();
        }
    }

    /// The next instance that is ready. Safe to cancel.
    pub async fn next(&mut self) -> Id {
        loop {
            match self.answers.recv().await {
                Some((id, number)) if self.tasks.get(&id).is_some_and(|(asked, _)| *asked == number) => {
                    self.tasks.remove(&id);
                    return id;
                }
                // The answer of a probe that was stopped meanwhile is nobody's.
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// Asks until the answer is yes.
async fn ask(name: &str, plan: &ReadyPlan) {
    let began = clock::now();
    let (mut pause, mut told) = (FIRST_PAUSE, false);
    loop {
        let why = match tokio::time::timeout(plan.timeout, probe::probe(&plan.probe)).await {
            Ok(Outcome::Ready) => return,
            Ok(Outcome::ReadyBut(but)) => {
                tracing::warn!(service = %name, "{but}");
                return;
            }
            Ok(Outcome::NotReady(why)) => why,
            Err(_) => format!("no answer within {}", Words(plan.timeout)),
        };
        // Once, and in time before the deadline, so that a service that never gets ready leaves a trace of why.
        let waited = clock::now().since(began);
        if !told && waited >= plan.deadline / 3 {
            told = true;
            tracing::warn!(service = %name, "not ready after {}: {why}", Words(waited));
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(plan.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::ProbePlan;

    const WEB: Id = Id::Service { unit: 0, instance: 0 };

    fn tcp(address: String) -> ReadyPlan {
        ReadyPlan {
            probe: ProbePlan::Tcp { address },
            interval: Duration::from_millis(5),
            timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(60),
            successes: 1,
        }
    }

    #[test]
    fn an_answer_for_the_process_before_is_not_taken_for_this_ones() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let mut probes = Probes::default();
            probes.start(WEB, "web".to_owned(), tcp(address));
            // Its yes is on its way when the instance ends and is started anew, and does not listen yet.
            while probes.answers.is_empty() {
                tokio::task::yield_now().await;
            }
            probes.stop(WEB);
            let unbound = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            probes.start(WEB, "web".to_owned(), tcp(unbound.to_string()));
            let early = tokio::time::timeout(Duration::from_millis(50), probes.next()).await;
            assert!(early.is_err(), "{early:?}");
            drop(listener);
        });
    }
}
