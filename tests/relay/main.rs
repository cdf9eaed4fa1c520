//! The log relay with real pipes, sockets, files and terminals in the container's place.

#![allow(clippy::disallowed_methods, reason = "tests make and read files of their own")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod flow;
mod journal;
mod ports;
mod stall;
mod support;
