//! A container's life with real processes: the real `init` as PID 1 of a real PID namespace, and as a subreaper.
//!
//! | file | what |
//! |---|---|
//! | `container` | starts `init` with a configuration of its own, collects what it writes, ends everything it left |
//! | `procs` | what /proc says of the processes below `init` |
//! | `fpm`, `queue`, `minute` | PHP-FPM, queue, schedule and environment of the sample application |
//! | `crash`, `reasons` | restarts, backoff, giving up, and endings in words |
//! | `reload`, `reload_web` | the same with other files and configuration; failures that change nothing; looks for changes |
//! | `swap` | a process of the application that replaces what init places |
//! | `stop`, `order`, `runs` | stops: budgets, second and third signals, order, readiness, roles; cron runs |
//! | `observe` | health and metrics over HTTP, scale-in protection |
//! | `leftovers`, `sessions` | what left its group, its session or lost its parent |
//! | `output` | lines, pipes, stalls, closed and odd streams |
//! | `tls` | the preset "nginx" with a real nginx |
//! | `control`, `client`, `abuse` | the control socket: phases, verbs, and clients that mean no good |
//! | `secrets` | what another process of init's user can read of init's commands and children |
//! | `operate` | the commands as they are typed: codes, words, health in each phase |
//! | `probes`, `notify` | readiness and liveness: every kind of probe against the real thing |
//! | `idle`, `user` | no wake-ups; any uid, and no directory to write |

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests start real processes"
)]

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod client;
mod configuration;
mod container;
mod control;
mod crash;
mod fpm;
mod idle;
mod leftovers;
mod minute;
mod notify;
mod observe;
mod operate;
mod order;
mod output;
mod probes;
mod procs;
mod queue;
mod reasons;
mod reload;
mod reload_web;
mod runs;
mod secrets;
mod sessions;
mod stop;
mod swap;
mod tls;
mod user;
mod warm_up;
