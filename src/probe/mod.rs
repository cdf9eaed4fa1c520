//! Probes that ask: does it answer, and with what.
//!
//! [`attempt`] makes one attempt and says what came of it; it may be dropped at any point, which closes the connection.
//! How often to try and when to give up is the plan's and the supervisor's business. Probes that run a program or listen to
//! what a service tells are the runtime's; of these [`notify`] has the grammar.
//!
//! No names are resolved here. The only resolver in reach runs on a pool of threads, and PID 1 has one thread; what a
//! container probes is its own and has an address.
#![forbid(unsafe_code)]

mod address;
mod client;
pub mod fastcgi;
mod http;
pub mod notify;
pub mod warm_up;

pub use address::{Address, AddressError};
pub use client::{ask, ping};

use crate::config::plan::ProbePlan;
use std::time::Duration;

/// What one attempt found. The texts are for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ready,
    /// It serves, but the probe is not set up as it should be; worth telling once.
    ReadyBut(String),
    /// It is there and has too much to do to answer: it cannot be sent work, and a restart would only lose what it does.
    Degraded(String),
    /// Why not.
    NotReady(String),
}

impl Outcome {
    /// It may be sent work.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready | Self::ReadyBut(_))
    }
}

/// One attempt, of which there is an outcome within this time.
pub async fn attempt(plan: &ProbePlan, within: Duration) -> Outcome {
    if let Ok(outcome) = tokio::time::timeout(within, probe(plan)).await {
        return outcome;
    }
    let waited = within.as_secs_f64();
    match plan {
        // Nobody listens is told at once. So a listener is there: FPM answers nothing, not even its ping, while all workers
        // are busy, and to a full queue the kernel answers nothing either (tcp(7), tcp_abort_on_overflow).
        ProbePlan::FastCgi { address, .. } => Outcome::Degraded(format!(
            "{address} gives no answer within {waited}s: every worker is busy, and requests queue up"
        )),
        ProbePlan::Tcp { address } => Outcome::Degraded(format!(
            "{address} takes no connection within {waited}s: its queue of connections is full"
        )),
        _ => Outcome::NotReady(format!("no answer within {waited}s")),
    }
}

/// One attempt, without a timeout.
pub async fn probe(plan: &ProbePlan) -> Outcome {
    let address = match plan {
        ProbePlan::FastCgi { address, .. } | ProbePlan::Tcp { address } | ProbePlan::Http { address, .. } => {
            Address::parse(address)
        }
        ProbePlan::Unix { path } => Ok(Address::Unix(path.clone())),
        ProbePlan::Command { .. } | ProbePlan::Notify | ProbePlan::NotifyFd { .. } => {
            return Outcome::NotReady("this probe asks nobody".to_owned());
        }
    };
    let address = match address {
        Ok(address) => address,
        Err(error) => return Outcome::NotReady(error.to_string()),
    };
    match plan {
        ProbePlan::FastCgi { path, .. } => ping(&address, path).await,
        ProbePlan::Http { path, host, status, .. } => http::get(&address, path, host, status).await,
        _ => client::connects(&address).await,
    }
}
