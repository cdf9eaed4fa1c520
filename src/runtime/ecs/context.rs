//! What ECS tells of the task: the metadata endpoint, version 4.
//!
//! Asked in the background at the start and never again: nothing of it changes. Whatever goes wrong is worth a debug
//! line, since outside of ECS there is nobody to ask.

use super::client;
use crate::logs::json;
use crate::runtime::board::Board;
use crate::runtime::journal;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Set by the agent in every container of a task, on Fargate and on EC2.
pub const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// Of one attempt. The agent answers from memory.
const LIMIT: Duration = Duration::from_secs(2);
/// The pauses between attempts: the endpoint may come up after the container.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];
/// No value of ECS's is longer than an ARN.
const MOST: usize = 256;
/// What goes into each line of the log: enough to find the task, its version and its place.
const IN_LINES: [&str; 4] = ["task", "family", "revision", "zone"];

/// Facts by name.
pub type Facts = BTreeMap<String, String>;

/// Asks the endpoint at `uri` until it answers, and puts what it says on the board and into the lines of the log.
pub async fn learn(board: Rc<Board>, uri: String) {
    let mut pauses = PAUSES.iter();
    loop {
        let why = match tokio::time::timeout(LIMIT, ask(&uri)).await {
            Ok(Ok(facts)) => return publish(&board, facts),
            Ok(Err(why)) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::debug!("cannot read the metadata of the ECS task: {why}");
        let Some(pause) = pauses.next() else { return };
        tokio::time::sleep(*pause).await;
    }
}

async fn ask(uri: &str) -> Result<Facts, String> {
    let task = get(&format!("{}/task", uri.trim_end_matches('/'))).await?;
    // The container's own name is nice to have.
    let container = get(uri).await.unwrap_or_default();
    facts(&task, &container)
}

async fn get(url: &str) -> Result<Vec<u8>, String> {
    let answer = client::request("GET", url, None).await?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("status {status}")),
    }
}

/// The fields of the endpoint's answers that are used; there are many more, and any may be missing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Task {
    cluster: Option<String>,
    #[serde(rename = "TaskARN")]
    task_arn: Option<String>,
    family: Option<String>,
    revision: Option<String>,
    service_name: Option<String>,
    availability_zone: Option<String>,
    launch_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    name: Option<String>,
}

fn facts(task: &[u8], container: &[u8]) -> Result<Facts, String> {
    let task: Task =
        serde_json::from_slice(task).map_err(|error| format!("it is not the JSON of a task: {error}"))?;
    let container: Container = serde_json::from_slice(container).unwrap_or_default();
    // `arn:aws:ecs:eu-west-1:111122223333:task/production/0123…`, and on old clusters without the cluster's name.
    let region = task.task_arn.as_deref().and_then(|arn| arn.split(':').nth(3)).map(str::to_owned);
    let last = |text: String| text.rsplit('/').next().unwrap_or_default().to_owned();
    let known = [
        ("task", task.task_arn.map(last)),
        ("family", task.family),
        ("revision", task.revision),
        ("zone", task.availability_zone),
        ("region", region),
        ("cluster", task.cluster.map(last)),
        ("service", task.service_name),
        ("launch-type", task.launch_type),
        ("container", container.name),
    ];
    let facts: Facts = known
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)))
        .filter(|(_, value)| !value.is_empty() && value.len() <= MOST)
        .collect();
    if facts.contains_key("task") { Ok(facts) } else { Err("it names no task".to_owned()) }
}

fn publish(board: &Board, facts: Facts) {
    journal::set_context(in_lines(&facts));
    let fact = |name: &str| facts.get(name).map_or("?", String::as_str);
    tracing::info!(
        "ECS task {} of {}:{} in {}",
        fact("task"),
        fact("family"),
        fact("revision"),
        fact("zone")
    );
    board.ecs.borrow_mut().extend(facts);
}

/// `"ecs":{"task":"…",…},`: what each line of the log gets in JSON.
fn in_lines(facts: &Facts) -> Vec<u8> {
    let mut out = b"\"ecs\":{".to_vec();
    for (index, (name, value)) in IN_LINES.iter().filter_map(|name| facts.get_key_value(*name)).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::string(&mut out, name.as_bytes());
        out.push(b':');
        json::string(&mut out, value.as_bytes());
    }
    out.extend_from_slice(b"},");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the developer guide shows an answer on Fargate, shortened.
    const TASK: &str = r#"{
        "Cluster": "arn:aws:ecs:us-west-2:111122223333:cluster/default",
        "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/default/e9028f8d5d8e4f258373e7b93ce9a3c3",
        "Family": "shop", "Revision": "3", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
        "Limits": {"CPU": 0.25, "Memory": 512}, "AvailabilityZone": "us-west-2a", "LaunchType": "FARGATE",
        "Containers": [{"Name": "php"}], "ClockDrift": {"ClockErrorBound": 0.5}
    }"#;

    #[test]
    fn the_endpoints_answer_becomes_facts_and_a_piece_of_json() {
        let facts = facts(TASK.as_bytes(), br#"{"Name":"php","Image":"x"}"#).unwrap();
        let expected = [
            ("cluster", "default"),
            ("container", "php"),
            ("family", "shop"),
            ("launch-type", "FARGATE"),
            ("region", "us-west-2"),
            ("revision", "3"),
            ("task", "e9028f8d5d8e4f258373e7b93ce9a3c3"),
            ("zone", "us-west-2a"),
        ];
        assert_eq!(facts.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(
            String::from_utf8(in_lines(&facts)).unwrap(),
            r#""ecs":{"task":"e9028f8d5d8e4f258373e7b93ce9a3c3","family":"shop","revision":"3","zone":"us-west-2a"},"#
        );
    }

    #[test]
    fn what_is_no_task_is_an_error() {
        for odd in ["", "null", "[]", "{}", r#"{"TaskARN":""}"#, r#"{"TaskARN":7}"#] {
            assert!(facts(odd.as_bytes(), b"").is_err(), "{odd}");
        }
        let long = format!(r#"{{"TaskARN":"a/b","Family":"{}"}}"#, "x".repeat(1000));
        assert_eq!(facts(long.as_bytes(), b"?").unwrap().len(), 1);
    }
}
