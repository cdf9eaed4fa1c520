//! PHP-FPM's own status, asked over FastCGI when somebody asks for metrics.
//!
//! Without a socket of its own (`status-socket`) the answer takes a worker, so a pool whose workers are all busy gives
//! none in time. That is no more than a metric: whether the pool lives is the liveness probe's business.

use crate::probe::{self, Address};
use crate::runtime::fpm::StatusPage;
use serde::Deserialize;
use std::time::Duration;
use tokio::task::JoinSet;

/// A pool with a worker to spare answers within a millisecond.
const LIMIT: Duration = Duration::from_millis(500);

/// One pool, and what it told, if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub service: String,
    pub name: String,
    pub told: Option<Told>,
}

/// The fields of `?json` that are used (php-src sapi/fpm/fpm/fpm_status.c).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Told {
    #[serde(rename = "accepted conn")]
    pub accepted: u64,
    #[serde(rename = "listen queue")]
    pub queue: u64,
    #[serde(rename = "max listen queue")]
    pub most_queue: u64,
    #[serde(rename = "listen queue len")]
    pub queue_limit: u64,
    #[serde(rename = "idle processes")]
    pub idle: u64,
    #[serde(rename = "active processes")]
    pub active: u64,
    #[serde(rename = "max active processes")]
    pub most_active: u64,
    #[serde(rename = "max children reached")]
    pub children_reached: u64,
    #[serde(rename = "slow requests")]
    pub slow: u64,
    #[serde(rename = "start since")]
    pub since: u64,
}

/// Asks all pools at once.
pub async fn ask(pages: Vec<StatusPage>) -> Vec<Pool> {
    let mut tasks = JoinSet::new();
    for page in pages {
        tasks.spawn_local(async move {
            let told = tokio::time::timeout(LIMIT, one(&page)).await.ok().flatten();
            Pool { service: page.service, name: page.pool, told }
        });
    }
    let mut pools: Vec<Pool> = Vec::new();
    while let Some(pool) = tasks.join_next().await {
        pools.extend(pool.ok());
    }
    pools.sort_by(|a, b| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
    pools
}

async fn one(page: &StatusPage) -> Option<Told> {
    let address = Address::parse(&page.address).ok()?;
    let answer = probe::ask(&address, &page.path, "json").await.ok()?;
    (answer.status() == Some(200)).then(|| read(answer.body())).flatten()
}

fn read(body: &[u8]) -> Option<Told> {
    // An application's own answer is JSON too, sometimes.
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value.get("process manager")?;
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_php_fpm_is_read_and_others_are_not() {
        let told = read(
            br#"{"pool":"www","process manager":"dynamic","start time":1795303680,"start since":44,"accepted conn":5,
            "listen queue":1,"max listen queue":2,"listen queue len":511,"idle processes":3,"active processes":4,
            "total processes":7,"max active processes":6,"max children reached":8,"slow requests":9,"memory peak":2097152}"#,
        );
        let expected = Told {
            accepted: 5,
            queue: 1,
            most_queue: 2,
            queue_limit: 511,
            idle: 3,
            active: 4,
            most_active: 6,
            children_reached: 8,
            slow: 9,
            since: 44,
        };
        assert_eq!(told, Some(expected));
        for other in ["", "pong", "{}", r#"{"status":"ok"}"#, "[1]"] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
    }
}
