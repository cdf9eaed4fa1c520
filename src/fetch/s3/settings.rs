//! What the job and the environment decide before anything is asked of the network. PURE.
//!
//! The job's own words win over the environment. Names and their order are those of AWS's "SDKs and Tools
//! Reference": AWS_ENDPOINT_URL_S3 before AWS_ENDPOINT_URL, both silenced by AWS_IGNORE_CONFIGURED_ENDPOINT_URLS;
//! AWS_REGION before AWS_DEFAULT_REGION.

use super::url::Url;
use crate::config::plan::source::Object;
use crate::fetch::error::{FetchError, Kind};
use crate::fetch::job::Job;
use crate::fetch::vars::Vars;
use std::time::Duration;

pub struct Settings {
    /// As it was written, and as it is understood.
    pub endpoint: Option<(String, Url)>,
    pub path_style: bool,
    /// Named by the source, the job or the environment.
    pub region: Option<String>,
    pub fips: bool,
    pub dual_stack: bool,
    /// In an ECS task, where the host's role must never be taken.
    pub on_ecs: bool,
    pub patience: Patience,
}

/// How long one attempt waits for what. Shares of the whole deadline, so that there is time for a second attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub answer: Duration,
    /// Between two pieces of the body.
    pub stall: Duration,
}

impl Patience {
    /// 3 s, 10 s and 5 s for deadlines of 20 s and more.
    pub fn within(timeout: Duration) -> Self {
        let share = |part: u32, most: u64| {
            (timeout / part).clamp(Duration::from_millis(200), Duration::from_secs(most))
        };
        Self { connect: share(4, 3), answer: share(2, 10), stall: share(4, 5) }
    }
}

impl Settings {
    pub fn new(object: &Object, job: &Job, vars: &Vars) -> Result<Self, FetchError> {
        let endpoint = endpoint(job, vars)?;
        let path_style =
            job.path_style.unwrap_or_else(|| path_style(object, endpoint.as_ref().map(|(_, url)| url)));
        let region = object
            .region
            .as_deref()
            .or(job.region.as_deref())
            .or_else(|| vars.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
            .map(str::to_owned);
        // The SDK refuses both beside an endpoint of one's own; such an endpoint is what it is.
        let standard = endpoint.is_none();
        Ok(Self {
            path_style,
            region,
            fips: standard && vars.flag("AWS_USE_FIPS_ENDPOINT"),
            dual_stack: standard && vars.flag("AWS_USE_DUALSTACK_ENDPOINT"),
            on_ecs: on_ecs(vars),
            patience: Patience::within(job.timeout()),
            endpoint,
        })
    }

    /// The host that is asked in `region`, for people; buckets' own names in front of it are left out.
    pub fn host(&self, region: &str) -> String {
        if let Some((_, url)) = &self.endpoint {
            return url.authority();
        }
        let fips = if self.fips { "-fips" } else { "" };
        let dual_stack = if self.dual_stack { ".dualstack" } else { "" };
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("s3{fips}{dual_stack}.{region}.amazonaws.com{china}")
    }

    /// Whether S3 itself is spoken to over TLS.
    pub fn tls(&self) -> bool {
        self.endpoint.as_ref().is_none_or(|(_, url)| url.tls)
    }
}

/// Which settings are read, in which order.
fn endpoint(job: &Job, vars: &Vars) -> Result<Option<(String, Url)>, FetchError> {
    let environment = || {
        if vars.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
            return None;
        }
        ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find_map(|name| Some((name, vars.get(name)?)))
    };
    let own = job.endpoint.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let Some((name, text)) = own.map(|text| ("endpoint", text)).or_else(environment) else {
        return Ok(None);
    };
    match Url::parse(text) {
        Ok(url) => Ok(Some((text.to_owned(), url))),
        Err(why) => {
            Err(FetchError::new(Kind::Setting, format!("cannot use {name} as S3's endpoint: it {why}")).hint(
                format!(
                    "set {name} to an address such as https://s3.eu-west-1.amazonaws.com or http://minio:9000"
                ),
            ))
        }
    }
}

/// `endpoint/bucket/key` where a host name per bucket cannot work: TLS certificates do not cover the dots of a bucket, and
/// stand-ins for S3 (MinIO, LocalStack, Ceph) rarely have wildcard names. Access point ARNs have no path style.
fn path_style(object: &Object, endpoint: Option<&Url>) -> bool {
    !object.bucket.starts_with("arn:")
        && (object.bucket.contains('.') || endpoint.is_some_and(|url| !url.is_aws()))
}

/// The agent sets these in every task, with a task role or without.
fn on_ecs(vars: &Vars) -> bool {
    vars.first(&[
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "ECS_CONTAINER_METADATA_URI_V4",
        "ECS_CONTAINER_METADATA_URI",
    ])
    .is_some()
        || vars.get("AWS_EXECUTION_ENV").is_some_and(|value| value.starts_with("AWS_ECS_"))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
