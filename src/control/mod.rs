//! The control socket: how `init status`, `init health` and their like talk to the running init.
//!
//! | file | what |
//! |---|---|
//! | [`protocol`] | PURE: what is said, one JSON object a line |
#![forbid(unsafe_code)]

pub mod protocol;
