//! Whose name the request is signed in: the SDKs' usual order, with one exception.
//!
//! Environment keys, profile, web identity, container, instance metadata: what AWS's documentation promises and users
//! have learnt. The exception: in an ECS task the instance metadata is never asked, because it would silently
//! lend the host's role to a task that was given none. A provider that is configured and fails ends the search; going
//! on would sign in a name that nobody meant.

use super::connection::whole;
use super::container::{self, Endpoint};
use super::http::Http;
use super::settings::Settings;
use crate::fetch::error::{FetchError, Kind};
use crate::fetch::run::Trace;
use crate::fetch::vars::Vars;
use aws_config::BehaviorVersion;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::Region;
use std::error::Error;
use std::time::Duration;

pub const WEB_IDENTITY: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
/// The provider's name in reports.
pub const INSTANCE: &str = "instance-metadata";

/// What the SDK's own providers need.
pub fn provider_config(http: &Http, region: Option<&str>, settings: &Settings) -> ProviderConfig {
    ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
        .with_http_client(http.client())
        .with_region(region.map(|region| Region::new(region.to_owned())))
        .with_use_fips(settings.fips.then_some(true))
        .with_use_dual_stack(settings.dual_stack.then_some(true))
        .with_timeout_config(
            aws_smithy_types::timeout::TimeoutConfig::builder()
                .connect_timeout(settings.patience.connect)
                .operation_attempt_timeout(settings.patience.answer)
                .build(),
        )
}

/// The files of AWS's own tools, where there are any.
pub fn has_profile(vars: &Vars) -> bool {
    let home = vars.get("HOME").unwrap_or("/root");
    vars.has("AWS_PROFILE")
        || [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")].iter().any(
            |(name, file)| {
                let path = vars.get(name).map_or_else(|| format!("{home}/.aws/{file}"), str::to_owned);
                crate::files::is_file(std::path::Path::new(&path))
            },
        )
}

/// The first credentials that a provider gives.
pub async fn load(
    http: &Http,
    vars: &Vars,
    region: &str,
    settings: &Settings,
    trace: &mut Trace,
) -> Result<Credentials, FetchError> {
    let mut looked = Vec::new();
    if let Some(credentials) = environment(vars, &mut looked) {
        return Ok(given(credentials, "environment", trace));
    }
    if has_profile(vars) {
        let config = provider_config(http, Some(region), settings);
        let provider = ProfileFileCredentialsProvider::builder().configure(&config).build();
        if let Some(credentials) = ask(provider, "profile", &mut looked).await? {
            return Ok(given(credentials, "profile", trace));
        }
    } else {
        looked.push("profile (no ~/.aws/config or credentials)".to_owned());
    }
    if vars.has(WEB_IDENTITY) {
        let config = provider_config(http, Some(region), settings);
        let provider = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
        if let Some(credentials) = ask(provider, "web-identity", &mut looked).await? {
            trace.origin.role = vars.get("AWS_ROLE_ARN").map(str::to_owned);
            return Ok(given(credentials, "web-identity", trace));
        }
    } else {
        looked.push(format!("web identity ({WEB_IDENTITY} is not set)"));
    }
    if let Some(endpoint) = Endpoint::find(vars)? {
        let (credentials, role) = endpoint.load(http, vars, &mut trace.redact).await?;
        trace.origin.role = role;
        return Ok(given(credentials, "container", trace));
    }
    looked.push(format!("container ({} and {} are not set)", container::RELATIVE, container::FULL));
    if settings.on_ecs {
        looked.push("instance metadata (never asked in an ECS task: it holds the host's role)".to_owned());
    } else {
        // Link-local: no proxy can reach it. Bounded, because off AWS the address may swallow packets.
        let direct = Http { proxy: false, tls: None };
        let client = aws_config::imds::Client::builder()
            .configure(&provider_config(&direct, None, settings))
            .max_attempts(2)
            .connect_timeout(Duration::from_secs(1))
            .read_timeout(Duration::from_secs(1))
            .build();
        let provider = ImdsCredentialsProvider::builder().imds_client(client).build();
        if let Some(credentials) = ask(provider, INSTANCE, &mut looked).await? {
            return Ok(given(credentials, INSTANCE, trace));
        }
    }
    Err(none(&looked, settings.on_ecs))
}

fn environment(vars: &Vars, looked: &mut Vec<String>) -> Option<Credentials> {
    let (id, secret) = (vars.get("AWS_ACCESS_KEY_ID"), vars.get("AWS_SECRET_ACCESS_KEY"));
    if let (Some(id), Some(secret)) = (id, secret) {
        let token = vars.get("AWS_SESSION_TOKEN").map(str::to_owned);
        return Some(Credentials::new(id, secret, token, None, "Environment"));
    }
    looked.push(
        match (id, secret) {
            (Some(_), None) => "environment (AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not)",
            (None, Some(_)) => "environment (AWS_SECRET_ACCESS_KEY is set, AWS_ACCESS_KEY_ID is not)",
            _ => "environment (AWS_ACCESS_KEY_ID is not set)",
        }
        .to_owned(),
    );
    None
}

fn given(credentials: Credentials, provider: &str, trace: &mut Trace) -> Credentials {
    trace.redact.add(credentials.secret_access_key());
    if let Some(token) = credentials.session_token() {
        trace.redact.add(token);
    }
    trace.origin.credentials = Some(provider.to_owned());
    credentials
}

/// `None`: not configured, and noted so.
async fn ask(
    provider: impl ProvideCredentials,
    name: &str,
    looked: &mut Vec<String>,
) -> Result<Option<Credentials>, FetchError> {
    let error = match provider.provide_credentials().await {
        Ok(credentials) => return Ok(Some(credentials)),
        Err(error) => error,
    };
    let said = error.source().map_or_else(|| "not configured".to_owned(), whole);
    let words = said.to_ascii_lowercase();
    let unanswered =
        ["dispatch failure", "timeout", "timed out", "error (connect)", "throttl", "serviceunavailable"]
            .iter()
            .any(|word| words.contains(word));
    // Nobody configures the instance metadata: where it refuses, it is one more place that had nothing.
    if matches!(error, CredentialsError::CredentialsNotLoaded(_)) || (name == INSTANCE && !unanswered) {
        looked.push(format!("{} ({said})", name.replace('-', " ")));
        return Ok(None);
    }
    let message = format!("cannot get credentials from {}: {said}", name.replace('-', " "));
    let error = FetchError::new(if unanswered { Kind::Unreachable } else { Kind::Forbidden }, message)
        .hint("it is configured, so no other provider is asked; correct it or remove its settings");
    Err(if unanswered { error.transient() } else { error })
}

fn none(looked: &[String], on_ecs: bool) -> FetchError {
    let error = FetchError::new(
        Kind::Forbidden,
        format!("cannot sign requests to S3: no credentials found; looked at {}", looked.join(", ")),
    );
    if on_ecs {
        return error.hint("give the task definition a taskRoleArn whose role may read the object");
    }
    error
        .hint("give the task, pod or instance a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        .hint("in a container on EC2 the instance metadata needs HttpPutResponseHopLimit 2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_from_the_environment_lose_their_line_feed() {
        let mut looked = Vec::new();
        let vars = Vars::of(&[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret\n")]);
        let credentials = environment(&vars, &mut looked).unwrap();
        assert_eq!((credentials.secret_access_key(), credentials.session_token()), ("secret", None));
        assert!(environment(&Vars::of(&[("AWS_ACCESS_KEY_ID", "id")]), &mut looked).is_none());
        assert!(looked[0].contains("AWS_SECRET_ACCESS_KEY is not"), "{looked:?}");
    }

    #[test]
    fn a_task_without_a_role_is_told_to_get_one() {
        let error = none(&["environment (x)".into(), "container (y)".into()], true);
        assert_eq!(error.kind, Kind::Forbidden);
        assert!(error.message.contains("environment (x), container (y)"), "{error}");
        assert!(error.hints[0].contains("taskRoleArn"));
        assert!(none(&[], false).hints[1].contains("HopLimit"));
    }
}
