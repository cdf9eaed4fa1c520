//! `php_init::sys` with real children.
//!
//! The reaper waits for *every* child of its process, so each test wants a process of its own: **run with
//! cargo-nextest**. Under plain `cargo test` they wait for each other ([`support::Stage`] holds a lock).
//!
//! Where a test needs to be something else (an init that is not dumpable, another user), it starts this very
//! binary again, with [`support::ROLE`] in its environment: see [`support::play`].
//!
//! [`namespace`] needs unshare(1) and the right to use it: root with CAP_SYS_ADMIN, or user namespaces.
//!
//! Most of it runs as any user. What only root can see (ids that change) is checked as root, and the refusal
//! as anybody else.

#![allow(clippy::disallowed_methods, reason = "tests make and read files of their own")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

mod exit;
mod faults;
mod inherit;
mod init;
mod namespace;
mod orphans;
mod secrets;
mod support;
mod terminal;
