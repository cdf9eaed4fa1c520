//! What a PID 1 is trusted for: faults that are made to happen to the real `init`, in namespaces and control groups.
//!
//! README.md has the table: fault, what is promised, test.
//!
//! | file | what |
//! |---|---|
//! | `processes` | services, runs and probes that are killed in every state |
//! | `steps` | the same with steps of the boot and of a reload, fetches and migrations |
//! | `stubborn` | what is stopped by a signal, daemons, and processes without their first thread |
//! | `crowds` | thousands of children and orphans; pids that are used again |
//! | `itself` | init stopped, signalled and killed |
//! | `streams` | stdin, stdout and stderr: closed, full, gone, sockets, files, terminals |
//! | `limits` | control groups: no more processes, no more memory, no more descriptors |
//! | `frozen` | everything stopped by the freezer and thawed |
//! | `docker` | the same limits as a real engine sets them |
//! | `disks` | full and read-only directories, inodes, mounts that are not there |

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests start real processes"
)]

#[path = "../life/client.rs"]
#[allow(dead_code, reason = "made for tests/life, which uses all of it")]
mod client;
#[path = "../life/container.rs"]
#[allow(dead_code, reason = "made for tests/life, which uses all of it")]
mod container;
#[path = "../boot/lease.rs"]
mod lease;
#[path = "../life/procs.rs"]
#[allow(dead_code, reason = "made for tests/life, which uses all of it")]
mod procs;
#[path = "../support/mod.rs"]
mod support;

mod crowds;
mod disks;
mod docker;
mod frozen;
mod itself;
mod limits;
mod processes;
mod steps;
mod streams;
mod stubborn;
