//! The times of a stop: how its budget is shared out, whatever init is at when it begins.

use super::event::Mono;
use super::turn::part;
use std::time::Duration;

const LONGEST_RESERVE: Duration = Duration::from_secs(1);
const SHORTEST_RESERVE: Duration = Duration::from_millis(100);

/// When everything gets KILL, when init waits for nothing any more, and when it must have exited, with its logs written.
///
/// These are times of the clock: a container that is frozen meanwhile is not given more, since whoever asked for the stop goes
/// on counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub kill_at: Mono,
    pub exit_at: Mono,
    pub over_at: Mono,
}

impl Budget {
    /// The whole stop takes `budget` from `begun`: less a reserve of a tenth, at most a second, until KILL; half of that reserve
    /// is for what has been killed, the rest for the logs.
    pub fn new(begun: Mono, budget: Duration) -> Self {
        let reserve = part(budget, 10).clamp(SHORTEST_RESERVE, LONGEST_RESERVE);
        let grace = budget.saturating_sub(reserve);
        Self {
            kill_at: begun.after(grace),
            exit_at: begun.after(grace.saturating_add(part(reserve, 2))),
            over_at: begun.after(budget),
        }
    }
}
