//! The control socket: how `init status`, `init health` and their like talk to the running init.
//!
//! | file | what |
//! |---|---|
//! | [`protocol`] | PURE: what is said, one JSON object a line |
//! | [`request`] | PURE: a client's line to a request |
//! | [`health`] | PURE: healthy or not, and why |
//! | [`server`] | the socket, its clients and their bounds |
//! | [`client`] | asks and reads, under a time limit, whatever is at the other end |
#![forbid(unsafe_code)]

pub mod client;
#[cfg(test)]
mod client_tests;
pub mod health;
pub mod protocol;
pub mod request;
pub mod server;
