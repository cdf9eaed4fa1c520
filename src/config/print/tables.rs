//! Tables that stand in one line.

use super::{list, text};
use crate::config::expand::has_reference;
use crate::config::plan::{
    DecryptPlan, Derivation, KeySource, LivePlan, ProbePlan, ReadyPlan, Secret, WarmUpPlan,
};
use crate::config::values::{show_codes, show_duration, show_word};
use std::path::PathBuf;

pub fn decrypt(plan: &DecryptPlan) -> String {
    let mut pairs = vec![("format", text(show_word(plan.format))), ("cipher", text(show_word(plan.cipher)))];
    let source = |env: &'static str, file: &'static str, from: &KeySource| match from {
        KeySource::Env(name) => (env, text(name)),
        KeySource::File(path) => (file, text(&path.display().to_string())),
    };
    match &plan.secret {
        Secret::Key { key, iv } => {
            pairs.push(source("key-env", "key-file", key));
            pairs.extend(iv.as_ref().map(|iv| source("iv-env", "iv-file", iv)));
        }
        Secret::Passphrase { from, digest, derivation } => {
            pairs.push(source("passphrase-env", "passphrase-file", from));
            pairs.push(("digest", text(show_word(*digest))));
            pairs.push(match derivation {
                Derivation::Pbkdf2 { iterations } => ("iterations", iterations.to_string()),
                Derivation::OneRound => ("pbkdf2", false.to_string()),
            });
        }
    }
    if plan.base64 {
        pairs.push(("base64", true.to_string()));
    }
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

pub fn ready(ready: &ReadyPlan) -> String {
    format!(
        "{{ {}, interval = {}, timeout = {}, successes = {}, deadline = {} }}",
        probe(&ready.probe, "socket"),
        text(&show_duration(ready.interval)),
        text(&show_duration(ready.timeout)),
        ready.successes,
        text(&show_duration(ready.deadline)),
    )
}

pub fn warm_up(plan: &WarmUpPlan) -> String {
    let list = |paths: &[PathBuf]| {
        let paths: Vec<String> = paths.iter().map(|path| text(&path.display().to_string())).collect();
        paths.join(", ")
    };
    format!(
        "{{ paths = [{}], exclude = [{}], budget = {}, parallel = {} }}",
        list(&plan.paths),
        list(&plan.exclude),
        text(&show_duration(plan.budget)),
        plan.parallel,
    )
}

pub fn live(live: &LivePlan) -> String {
    format!(
        "{{ {}, interval = {}, timeout = {}, failures = {}, successes = {} }}",
        probe(&live.probe, "watchdog"),
        text(&show_duration(live.interval)),
        text(&show_duration(live.timeout)),
        live.failures,
        live.successes,
    )
}

pub fn probe(probe: &ProbePlan, notify: &str) -> String {
    match probe {
        ProbePlan::FastCgi { address, path } => format!("fastcgi = {}, path = {}", text(address), text(path)),
        ProbePlan::Tcp { address } => format!("tcp = {}", text(address)),
        ProbePlan::Unix { path } => format!("unix = {}", text(&path.display().to_string())),
        ProbePlan::Http { address, path, host, status } => {
            let url = match address.starts_with('/') {
                _ if has_reference(address) => address.clone(),
                true => format!("http://unix:{address}:{path}"),
                false => format!("http://{address}{path}"),
            };
            let host = if host.is_empty() { String::new() } else { format!(", host = {}", text(host)) };
            format!("http = {}, status = {}{host}", text(&url), text(&show_codes(status)))
        }
        ProbePlan::Command { command } => format!("command = {}", list(command)),
        ProbePlan::Notify => format!("notify = {}", text(notify)),
        ProbePlan::NotifyFd { fd } => format!("notify-fd = {fd}"),
    }
}
