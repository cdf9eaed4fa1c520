//! `init health`: is the container healthy? 0 or 1 and a line that says why, for Docker, ECS and Kubernetes.
//!
//! Docker knows 0 and 1 and reserves 2, so nothing else is returned, whatever is wrong:
//! <https://docs.docker.com/reference/dockerfile/#healthcheck>

use super::look::harmless;
use super::remote::{Done, Failed, Io, Remote};
use super::say;
use crate::config::suggest;
use crate::control::protocol::{Health, Level, Reply, Request};
use crate::exit;
use std::time::Duration;

/// An answer takes less than a hundredth of it; Docker's own limit is 30 s.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// Asks, and tells the verdict.
pub fn run(remote: &Remote, io: &mut Io<'_>) -> Done {
    let quiet = remote.line.has("quiet");
    let level = match remote.line.value("level").unwrap_or("ready") {
        "alive" => Level::Alive,
        "ready" => Level::Ready,
        other => {
            let hint = suggest::hint(other, &["alive", "ready"], "levels");
            let Failed(_) = remote.usage(&format!("unknown level {other:?}: {hint}"), io);
            return Ok(exit::FAILED);
        }
    };
    let (healthy, text) = match remote.answer(&Request::Health { level }) {
        Ok(Reply::Health(health)) => (health.healthy, verdict(&health, level)),
        Ok(_) => (false, "unhealthy: cannot understand the answer: it is one to another question".to_owned()),
        Err(error) => (false, format!("unhealthy: {}", remote.explain(&error))),
    };
    if !quiet {
        say(io.out, format_args!("{text}"));
    }
    Ok(if healthy { exit::OK } else { exit::FAILED })
}

fn verdict(health: &Health, level: Level) -> String {
    let what = match (health.healthy, level) {
        (false, _) => "unhealthy",
        (true, Level::Alive) => "healthy: alive",
        (true, Level::Ready) => "healthy: ready",
    };
    let phase = super::status::table::phase(health.phase);
    let reasons: Vec<_> = health.reasons.iter().map(|reason| harmless(reason)).collect();
    match reasons.is_empty() {
        true if health.healthy => format!("{what}, {phase}"),
        true => format!("{what}: {phase}"),
        false => format!("{what}{}{}", if health.healthy { "; " } else { ": " }, reasons.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Phase;

    #[test]
    fn the_verdict_is_one_line_that_says_why() {
        let health = |healthy, reasons: &[&str]| Health {
            healthy,
            phase: Phase::Booting,
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
        };
        for (health, level, text) in [
            (health(true, &[]), Level::Ready, "healthy: ready, booting"),
            (
                health(true, &["web: every worker is busy"]),
                Level::Alive,
                "healthy: alive; web: every worker is busy",
            ),
            (health(false, &[]), Level::Ready, "unhealthy: booting"),
            (
                health(false, &["a is BACKOFF", "b\n\u{1b}[2J"]),
                Level::Alive,
                "unhealthy: a is BACKOFF; b\\n\\x1b[2J",
            ),
        ] {
            assert_eq!(verdict(&health, level), text);
        }
    }
}
