//! # php-init
//!
//! What runs as PID 1 in PHP containers: a pure core in a thin shell.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | one file per command; turns an outcome into an exit code |
//! | [`config`] | schema (TOML, one to one) → resolve (presets, layers, `${VAR}`) → [`config::plan::Plan`] |
//! | [`supervisor`] | PURE: events in, actions out; states, order, backoff, stop |
//! | [`schedule`] | PURE: crontab expressions, next run |
//! | [`import`] | PURE: supervisord.conf and crontabs → init.toml |
//! | [`doctor`] | PURE: what will hurt in this container, from facts |
//! | [`dotenv`] | PURE: phpdotenv's grammar, for validation |
//! | [`logs`] | PURE: line framing, formats, bounded queues |
//! | [`runtime`] | the shell: event loop, executor of actions, reaper, boot |
//! | [`control`] | the control socket: protocol, server, client |
//! | [`probe`] | probes that ask: FastCGI, TCP, unix, HTTP; the grammar of sd_notify |
//! | [`fetch`] | sources, validation, atomic placing; run as a short-lived child, the only user of the AWS SDK |
//! | [`files`] | opening, probing, making and placing files where another user may have put a trap |
//! | [`sys`] | the only unsafe, fork, exec and raw descriptors, behind safe types |
//! | [`exit`] | every exit code |
//! | [`typo`] | PURE: how far a word is from the one that was meant |
//!
//! ## Layer rule
//!
//! Imports go down only: `cli → runtime → {supervisor, schedule, probe, control, logs, files, sys} → config::plan`.
//! Pure modules import no tokio, no nix, no libc, no clock, no I/O and no randomness (jitter comes from a seed).
//! AWS crates are reached from `fetch` alone, tokio from `runtime`, `probe`, `control` and `fetch` alone, nix and libc from
//! `sys` and `files` alone. `tests/rules.rs` keeps this rule.
//!
//! ## Terms
//!
//! *Service*: a supervised program, with one or more *instances*, each in a session and process group of its own.
//! *Run*: one execution of a cron entry. *Orphan*: a descendant whose parent died and that the kernel gave to init.
//! *Want* is what a service should be; *state* is what it is.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make, read and remove files of their own")
)]

pub mod cli;
pub mod config;
pub mod control;
pub mod doctor;
pub mod dotenv;
pub mod exit;
pub mod fetch;
pub mod files;
pub mod import;
pub mod logs;
pub mod probe;
pub mod runtime;
pub mod schedule;
pub mod supervisor;
pub mod sys;
pub mod typo;
