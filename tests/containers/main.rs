//! The containers of `docker/`, built and run as their users run them: a read-only root, the declared volumes and
//! nothing else, as root and as a user that nobody knows, with real requests.
//!
//! Images are of Debian's packages (`tests/containers/make`). What runs in them is the binary of this build, or the one
//! that `INIT_STATIC` names: `tests/run` has it name the static one.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests start real processes"
)]

#[path = "../support/mod.rs"]
mod support;

mod files;
mod laravel;
mod pod;
mod shell_less;
mod task_definitions;
mod wordpress;

/// What [`support::need`] must grant before a [`pod::Pod`] is made.
const NEEDS: &[&str] = &["root", "docker", "mmdebstrap", "nsenter", "ip", "ss", "curl", "cgi-fcgi"];
