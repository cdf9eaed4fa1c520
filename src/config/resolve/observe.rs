//! `[health]` and `[ecs]`.

use super::build::Builder;
use super::check;
use crate::config::plan::{EcsPlan, HealthPlan};
use crate::config::schema::{Ecs, Health};
use crate::config::suggest;
use crate::config::values::{At, Dur, show_duration};
use std::net::IpAddr;
use std::time::Duration;

/// Longer than workers are idle between two jobs of a busy queue.
const RELEASE_AFTER: Duration = Duration::from_secs(60);
/// Laravel's workers end a job after a minute unless they are told otherwise.
const MAX_JOB: Duration = Duration::from_secs(3600);
/// ECS protects a task for at most two days.
const MAX_JOB_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(2 * 24 * 3600);

pub fn health(builder: &mut Builder<'_>, given: Health) -> HealthPlan {
    let expose = given.expose.unwrap_or(false);
    if let Some(listen) = &given.listen {
        let complaint = check::address(&listen.value).or_else(|| self::listen(&listen.value, expose));
        builder.check(listen.loc, complaint);
    }
    HealthPlan { listen: given.listen.map(|at| at.value), expose }
}

/// What is wrong with an address to listen on.
fn listen(address: &str, expose: bool) -> Option<String> {
    let (host, _) = address.rsplit_once(':').filter(|_| !address.starts_with('/'))?;
    if host == "localhost" {
        return None;
    }
    let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() else {
        return Some(format!("\"{host}\" is no address: write 127.0.0.1, localhost or the path of a socket"));
    };
    (!ip.is_loopback() && !expose).then(|| {
        format!(
            "{ip} is reached from outside of the container, and everyone who asks is answered: listen on 127.0.0.1, or \
             write expose = true"
        )
    })
}

pub fn ecs(builder: &mut Builder<'_>, given: Ecs) -> EcsPlan {
    let mut protected: Vec<String> = Vec::new();
    for name in given.scale_in_protection.unwrap_or_default() {
        if !builder.declared.contains(&name.value) && !builder.is_open(&name.value) {
            let declared: Vec<&str> = builder.declared.iter().map(String::as_str).collect();
            let hint = suggest::hint(&name.value, &declared, "services");
            let message = format!("\"{}\" is no service: {hint}", builder.show(&name));
            builder.error(name.loc, message);
        } else if !protected.contains(&name.value) {
            protected.push(name.value);
        }
    }
    EcsPlan {
        protected,
        release_after: given.release_after.map_or(RELEASE_AFTER, |at| at.value.0),
        max_job: max_job(builder, given.max_job),
    }
}

fn max_job(builder: &mut Builder<'_>, given: Option<At<Dur>>) -> Duration {
    let Some(At { loc, value: Dur(max) }) = given else { return MAX_JOB };
    if !MAX_JOB_RANGE.contains(&max) {
        let (least, most) = (show_duration(*MAX_JOB_RANGE.start()), show_duration(*MAX_JOB_RANGE.end()));
        builder.error(loc, format!("max-job is {least} to {most}"));
    }
    max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_listened_on_without_a_word() {
        for fine in ["127.0.0.1:9180", "127.1.2.3:1", "[::1]:9180", "localhost:9180", "/opt/php/health.sock"]
        {
            assert_eq!(listen(fine, false), None, "{fine}");
        }
        for open in ["0.0.0.0:9180", "10.0.0.1:9180", "[::]:9180"] {
            assert!(listen(open, false).is_some_and(|text| text.contains("expose = true")), "{open}");
            assert_eq!(listen(open, true), None, "{open}");
        }
        assert!(listen("web:9180", true).is_some());
    }
}
