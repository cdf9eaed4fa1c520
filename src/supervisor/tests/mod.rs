//! Tests of the core as a whole: scenarios as scripts, whole lives in a fake world, random histories, and the table
//! of every state and event.

mod life;
mod order;
pub(super) mod plans;

mod properties;
mod restarts;
mod runs;
mod script;
mod stops;
mod transitions;
mod world;
