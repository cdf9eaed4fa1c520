//! Probing, making and placing files, as init or as the user that will use them.
//!
//! init may be root in a directory that `www-data` may write, so a name there may be a trap: a symbolic link
//! that was put in place of a directory would make root change files elsewhere. Therefore whatever can be
//! done with the user's own rights is done so ([`as_user`]), where the kernel checks every step; and what
//! needs root goes by descriptors, from directory to directory, never through a link of another's.
//!
//! | file | what it is |
//! |---|---|
//! | `user.rs` | the file-system identity of the calling thread |
//! | `probe.rs` | is this path writable, found out by writing |
//! | `directory.rs` | missing directories, with their owner |
//! | `walk.rs` | directories by descriptors, through no link of another user |

mod directory;
mod probe;
mod user;
mod walk;

pub use directory::{Made, make_directory, take_ownership};
pub use probe::{ProbeError, probe_writable};
pub use user::as_user;
pub use walk::DirectoryError;
