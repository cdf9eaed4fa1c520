//! Probing, making and placing files, as init or as the user that will use them.
//!
//! init may be root in a directory that `www-data` may write, so a name there may be a trap: a symbolic link
//! that was put in place of a directory would make root change files elsewhere. Therefore whatever can be
//! done with the user's own rights is done so ([`as_user`]), where the kernel checks every step; and what
//! needs root goes by descriptors, from directory to directory, never through a link of another's.
//!
//! | file | what it is |
//! |---|---|
//! | `open.rs` | the one way to open a file that somebody else may have touched |
//! | `configuration.rs` | files that say what init does |
//! | `at.rs` | an open directory, and what is done with the names in it |
//! | `remove.rs` | removal of a directory with all that is in it |
//! | `probe.rs` | is this path writable, found out by writing |
//! | `directory.rs` | missing directories, with their owner |
//! | `own.rs` | directories that root alone may change |
//! | `walk.rs` | directories by descriptors, through no link of another user |
//! | `socket.rs` | unix sockets by their paths: long ones, their mode, who hung up |
//! | `users.rs` | `/etc/passwd` and `/etc/group` |
//!
//! All of it is safe code; the calls that need more are in [`crate::sys`].

mod at;
mod configuration;
mod directory;
mod open;
mod own;
mod probe;
mod remove;
pub mod socket;
mod users;
mod walk;

pub use crate::sys::identity::as_user;
pub use crate::sys::look::{exists, is_directory, is_file, link_metadata, list, metadata};
pub use at::{Dir, DirId, Entry, Kind};
pub use configuration::{open_configuration, read_configuration, read_given};
pub use directory::{Made, make_directory, take_ownership};
pub use open::{Owner, open, open_reference, open_to_copy, read, read_bounded, read_text};
pub use own::{Owned, clear, is_roots_alone, own_directory, rights_to_empty};
pub use probe::{ProbeError, probe_writable};
pub use remove::empty;
pub use users::read_users;
pub use walk::DirectoryError;

#[cfg(test)]
mod tests;
