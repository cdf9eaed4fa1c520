//! Which region a request is signed for, when neither the job nor the environment says so.
//!
//! The profile; then the task's own region from ECS metadata v4, or the instance's where the instance lent its role. Failing
//! these us-east-1, from where S3 names the right one: a redirect costs one request, a wrong guess nothing.

use super::container::get;
use super::credentials::{has_profile, provider_config};
use super::http::Http;
use super::settings::Settings;
use super::url::Url;
use crate::fetch::vars::Vars;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use serde::Deserialize;
use std::time::Duration;

/// Where S3 answers for every region, with a redirect.
pub const FALLBACK: &str = "us-east-1";
/// Metadata is local; what does not answer at once is not there.
const METADATA: Duration = Duration::from_secs(1);

/// The region that is known without credentials.
pub async fn early(http: &Http, vars: &Vars, settings: &Settings) -> Option<String> {
    if settings.region.is_some() {
        return settings.region.clone();
    }
    if has_profile(vars) {
        let config = provider_config(http, None, settings);
        if let Some(region) = ProfileFileRegionProvider::builder().configure(&config).build().region().await {
            return Some(region.as_ref().to_owned());
        }
    }
    // An endpoint of one's own does not care about regions, and us-east-1 is what its users expect.
    if settings.endpoint.is_some() {
        return None;
    }
    task(http, vars).await
}

/// The region of the instance that lent its role.
pub async fn instance(settings: &Settings) -> Option<String> {
    let direct = Http { proxy: false, tls: None };
    let config = provider_config(&direct, None, settings);
    let provider = ImdsRegionProvider::builder().configure(&config).build();
    tokio::time::timeout(METADATA, provider.region())
        .await
        .ok()
        .flatten()
        .map(|region| region.as_ref().to_owned())
}

async fn task(http: &Http, vars: &Vars) -> Option<String> {
    let uri = format!("{}/task", vars.get("ECS_CONTAINER_METADATA_URI_V4")?.trim_end_matches('/'));
    let url = Url::parse(&uri).ok().filter(Url::is_local)?;
    let request = get(http, &uri, &url, None, vars, "cannot read task metadata");
    match tokio::time::timeout(METADATA, request).await {
        Ok(Ok((200, body))) => of_task(&body),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Task {
    #[serde(rename = "TaskARN")]
    arn: String,
}

/// `arn:aws:ecs:REGION:ACCOUNT:task/…`.
fn of_task(body: &[u8]) -> Option<String> {
    let task: Task = serde_json::from_slice(body).ok()?;
    let region = task.arn.split(':').nth(3)?;
    is_region(region).then(|| region.to_owned())
}

/// Fit for a host name: what a server says goes into the next request's address.
pub fn is_region(text: &str) -> bool {
    (4..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_arn_names_its_region() {
        let body =
            br#"{"Cluster":"c","TaskARN":"arn:aws:ecs:eu-central-1:123456789012:task/c/1","Family":"f"}"#;
        assert_eq!(of_task(body).as_deref(), Some("eu-central-1"));
        assert_eq!(of_task(br#"{"TaskARN":"arn:aws:ecs:evil.example/:1:task/c"}"#), None);
        assert_eq!(of_task(b"not json"), None);
    }
}
