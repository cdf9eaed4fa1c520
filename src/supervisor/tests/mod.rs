//! Tests of the core as a whole: scenarios as scripts, and the table of every state and event. Whole lives and random
//! histories in a fake world are in `tests/simulate`.

mod asks;
mod liveness;
mod order;
pub(super) mod plans;
mod replans;
mod restarts;
mod runs;
mod script;
mod stops;
mod transitions;
