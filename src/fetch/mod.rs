//! Sources, validation and atomic placing of files; run as a short-lived child.
//!
//! PID 1 re-executes itself as `init fetch` with an empty environment, hands over one [`job::Job`] as JSON on standard input and reads one
//! [`job::Report`] as a line of JSON from standard output; the exit code is the verdict. All that could hang, leak or
//! panic (the AWS SDK, TLS, name resolution) lives and dies in that child.
//!
//! | module | what it is |
//! |---|---|
//! | [`job`] | the two messages, shared by parent and child |
//! | [`error`] | what went wrong, its exit code and its remedies |
//! | [`run`] | one job from beginning to end |
//! | [`mod@file`] | a source on disk |
//! | [`check`] | is what came a valid file of its format |
//! | [`place`] | atomically into its place, or not at all |
//! | [`secret`], [`vars`] | content and words that must not get out; the environment of init |
//! | `s3` | a source in S3; the only user of the AWS crates (feature `s3`) |
//!
//! It is not a general downloader: one object, held in memory up to a cap, because a file is validated whole before a
//! byte of it reaches the disk.

#![forbid(unsafe_code)]

pub mod check;
pub mod decrypt;
pub mod error;
pub mod file;
pub mod job;
mod pem;
pub mod place;
pub mod run;
#[cfg(feature = "s3")]
pub mod s3;
pub mod secret;
mod self_signed;
pub mod vars;

pub use error::FetchError;
pub use job::{Job, Outcome, Report};
