//! Readiness probes: does it answer, not does it live.
//!
//! [`probe`] makes one attempt and says what came of it. It waits as long as the other side makes it wait: the caller
//! puts a timeout around it, and may drop it at any point, which closes the connection. How often to try and when to
//! give up is the plan's and the supervisor's business.
//!
//! No names are resolved here. The only resolver in reach runs on a pool of threads, and PID 1 has one thread; what a
//! container probes is its own and has an address.
#![forbid(unsafe_code)]

mod address;
mod client;
pub mod fastcgi;

pub use address::{Address, AddressError};
pub use client::{ask, ping};

use crate::config::plan::ProbePlan;

/// What one attempt found. The texts are for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ready,
    /// It serves, but the probe is not set up as it should be; worth telling once.
    ReadyBut(String),
    /// Why not.
    NotReady(String),
}

impl Outcome {
    /// It may be sent work.
    pub fn is_ready(&self) -> bool {
        !matches!(self, Self::NotReady(_))
    }
}

/// One attempt, without a timeout of its own.
pub async fn probe(plan: &ProbePlan) -> Outcome {
    let address = match plan {
        ProbePlan::FastCgi { address, .. } | ProbePlan::Tcp { address } => Address::parse(address),
        ProbePlan::Unix { path } => Ok(Address::Unix(path.clone())),
    };
    match (address, plan) {
        (Err(error), _) => Outcome::NotReady(error.to_string()),
        (Ok(address), ProbePlan::FastCgi { path, .. }) => ping(&address, path).await,
        (Ok(address), ProbePlan::Tcp { .. } | ProbePlan::Unix { .. }) => client::connects(&address).await,
    }
}
