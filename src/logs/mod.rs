//! PURE: line framing, formats, bounded queues.
//!
//! Bytes of a child's pipe become lines in [`mod@line`], lines become what the container's log shows in [`mod@format`]
//! (and init's own lines in [`own`]), [`queue`] holds what the container's stdout or stderr does not take yet,
//! [`loss`] counts what was thrown away, and [`tail`] keeps the last lines for those who ask.
//! Nothing here reads, writes, knows the time or grows without bound: [`crate::runtime::relay`] and
//! [`crate::runtime::output`] are the shell around it.

#![forbid(unsafe_code)]

pub mod format;
pub mod json;
pub mod line;
pub mod loss;
pub mod own;
pub mod queue;
pub mod stamp;
pub mod tail;
