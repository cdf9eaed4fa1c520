//! Tests of the core as a whole: scenarios as scripts, whole lives in a fake world, random histories, and the table
//! of every state and event.

mod asks;
mod life;
mod liveness;
mod order;
pub(super) mod plans;

mod properties;
mod random;
mod replans;
mod restarts;
mod runs;
mod script;
mod stops;
mod transitions;
mod world;
