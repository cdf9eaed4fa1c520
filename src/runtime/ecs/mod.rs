//! init as a part of an ECS task: what the agent tells of the task, and what it is asked for.
//!
//! Nothing here is ever needed: without the agent's variables, or while it does not answer, everything else goes on.
//!
//! | file | what |
//! |---|---|
//! | [`client`] | one HTTP request to the agent |
//! | [`context`] | task, family, revision, zone: into the status and the JSON of log lines |
//! | [`jobs`] | PURE: which lines of a queue worker begin and end a job |
//! | [`guard`] | PURE: when the task is protected from a scale-in, and when not any more |
//! | [`protection`] | carries out what the guard decides |

use super::Mode;
use super::shell::Shell;

pub mod client;
pub mod context;
pub mod guard;
pub mod jobs;
pub mod protection;

/// Begins to ask for the task's metadata, where the agent has said where. A one-off has no use for it.
pub fn start(shell: &Shell, mode: &Mode) {
    let uri = shell.environment.get(context::VARIABLE).and_then(|uri| uri.to_str());
    if let Some(uri) = uri.filter(|uri| !uri.is_empty() && !mode.is_one_off()) {
        tokio::task::spawn_local(context::learn(shell.board.clone(), uri.to_owned()));
    }
}
