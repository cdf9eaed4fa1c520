//! The platform: what ECS gives and expects.

use super::facts::Facts;
use super::words::list;
use super::{Check, Finding};
use crate::config::plan::Plan;
use crate::config::values::show_duration;
use std::time::Duration;

static BUDGET: Check = Check {
    id: "stop-budget",
    what: "`stop-timeout` is below the platform's own",
    why: "the platform kills everything when its time is over, in the middle of requests, jobs and log lines",
    fix: "init.toml: `stop-timeout = \"25s\"`; task definition: `stopTimeout` some seconds above it, at most 120 on Fargate",
};
static ROLE: Check = Check {
    id: "task-role",
    what: "there are credentials for the files that are fetched from S3",
    why: "the boot ends with 66: without a task role ECS gives the container no credentials",
    fix: "task definition: `taskRoleArn`, with `s3:GetObject` on the object",
};
static HEALTH: Check = Check {
    id: "health-check",
    what: "the container's health check",
    why: "ECS looks at that of the task definition alone and ignores the image's HEALTHCHECK",
    fix: "task definition, `healthCheck`: `\"command\": [\"CMD\", \"/usr/bin/init\", \"health\"]`",
};
static EXEC: Check = Check {
    id: "ecs-exec",
    what: "ECS Exec has the directories that it writes",
    why: "on a read-only root `aws ecs execute-command` ends at once",
    fix: "Dockerfile: `VOLUME [\"/var/lib/amazon\", \"/var/log/amazon\"]`",
};

pub const CHECKS: &[&Check] = &[&BUDGET, &ROLE, &HEALTH, &EXEC];

/// ECS's stopTimeout unless the task definition says otherwise, and the most that Fargate allows.
const ECS_DEFAULT: Duration = Duration::from_secs(30);
const FARGATE_MOST: Duration = Duration::from_secs(120);

/// Any of these gives the SDK credentials.
const CREDENTIALS: &[&str] = &[
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ACCESS_KEY_ID",
];

pub fn check(facts: &Facts, plan: &Plan) -> Vec<Finding> {
    let env = &facts.system.env;
    let on_ecs = env.contains("ECS_CONTAINER_METADATA_URI_V4");
    let mut found = vec![budget(facts, plan)];
    if let Some(file) = plan.files.iter().find(|file| is_s3(&file.source)) {
        let given: Vec<&str> = CREDENTIALS.iter().copied().filter(|name| env.contains(*name)).collect();
        let what = format!(
            "{} is fetched from S3, and none of {} is set",
            file.path.display(),
            CREDENTIALS.join(", ")
        );
        found.push(match (given.first(), on_ecs) {
            (Some(name), _) => ROLE.ok(*name),
            (None, true) => ROLE.breaks(what),
            // EC2's own address may give some; asking it would leave the container.
            (None, false) => ROLE.unchecked(format!("{what}; outside ECS the instance's role may do")),
        });
    }
    found.push(
        HEALTH.unchecked("neither the image's HEALTHCHECK nor the task definition's can be seen from inside"),
    );
    if on_ecs && facts.system.root_read_only == Some(true) {
        let refused: Vec<String> =
            facts.system.exec_refused.iter().map(|path| path.display().to_string()).collect();
        found.push(match refused.is_empty() {
            true => EXEC.ok("writable"),
            false => EXEC.note(format!("cannot be written: {}", list(&refused))),
        });
    }
    found
}

fn is_s3(source: &str) -> bool {
    source.starts_with("s3://") || source.starts_with("arn:aws")
}

fn budget(facts: &Facts, plan: &Plan) -> Finding {
    let (ours, shown) = (plan.stop_timeout, show_duration(plan.stop_timeout));
    let told = facts.system.agent_stop_timeout.as_deref().and_then(seconds);
    if let Some(theirs) = told {
        let seen =
            format!("stop-timeout is {shown}, ECS_CONTAINER_STOP_TIMEOUT is {}", show_duration(theirs));
        return if ours >= theirs { BUDGET.breaks(seen) } else { BUDGET.ok(seen) };
    }
    let unseen = "the task's stopTimeout cannot be seen from inside";
    if ours >= FARGATE_MOST {
        BUDGET.breaks(format!("stop-timeout is {shown}; the most that Fargate allows is 120 s"))
    } else if ours >= ECS_DEFAULT {
        BUDGET.unchecked(format!(
            "stop-timeout is {shown}, and {unseen}: it must be longer. The default is 30 s on ECS, 10 s of docker stop"
        ))
    } else {
        BUDGET.ok(format!("{shown}, below ECS's default of 30 s ({unseen}; docker stop has 10 s)"))
    }
}

/// As the agent writes it: `30s`, `2m`, or a number.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, factor) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor).map(Duration::from_secs)
}
