//! A source in S3: whole objects under one deadline. The only user of the AWS crates.
//!
//! The SDK's own retries and timeouts are switched off: they do not cover the body (a stalled one hangs or is cut
//! without another attempt) nor the container credentials (three tries, whatever the deadline). One loop around everything
//! takes their place: credentials, region, request and body are one attempt; what may pass is tried again with full
//! jitter until the deadline; what is certain (403, 404, a certificate) is told at once.
//!
//! | module | what it is |
//! |---|---|
//! | `settings`, `url` | PURE: what job and environment decide |
//! | `credentials`, `container` | whose name the request is signed in |
//! | `region` | which region it is signed for |
//! | `http`, `trust` | TLS, proxies, certificate authorities |
//! | `failure`, `connection` | what went wrong, and what to do |
//! | `backoff` | PURE: how long to wait |

mod backoff;
mod connection;
mod container;
mod credentials;
mod failure;
mod http;
mod region;
mod settings;
mod trust;
mod url;

use self::connection::{Asked, unanswered};
use self::failure::{Failure, Tried};
use self::http::Http;
use self::settings::Settings;
use super::error::{FetchError, Kind};
use super::file::too_large;
use super::job::Job;
use super::run::Trace;
use super::secret::Content;
use super::vars::Vars;
use crate::config::plan::source::Object;
use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Region, StalledStreamProtectionConfig};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Gets the whole of `object` before `deadline`, or tells why not. `None`: its ETag is `etag` still.
pub fn fetch(
    object: &Object,
    job: &Job,
    vars: &Vars,
    etag: Option<&str>,
    deadline: Instant,
    trace: &mut Trace,
) -> Result<Option<Content>, FetchError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(|error| {
            FetchError::new(
                Kind::Internal,
                format!("cannot start the fetch: {}", super::file::reason(&error)),
            )
        })?;
    let result = runtime.block_on(async {
        let mut session = Session::new(object, job, vars, trace)?;
        session.etag = etag.filter(|etag| !etag.contains('"')).map(str::to_owned);
        session.until(deadline).await
    });
    // Not waited for: a name lookup runs on a thread of its own and may hang longer than the deadline.
    runtime.shutdown_background();
    result
}

/// What lasts over the attempts.
struct Session<'a> {
    object: &'a Object,
    job: &'a Job,
    vars: &'a Vars,
    trace: &'a mut Trace,
    settings: Settings,
    http: Http,
    /// "cannot get s3://…".
    what: String,
    /// Of the object that is there already.
    etag: Option<String>,
    link: Option<Link>,
}

/// Credentials, region and the client made of them.
struct Link {
    client: Client,
    credentials: Credentials,
    region: String,
    host: String,
    /// A redirect was followed already.
    moved: bool,
}

impl<'a> Session<'a> {
    fn new(
        object: &'a Object,
        job: &'a Job,
        vars: &'a Vars,
        trace: &'a mut Trace,
    ) -> Result<Self, FetchError> {
        let settings = Settings::new(object, job, vars)?;
        let container = container::Endpoint::find(vars)?;
        let tls = settings.tls()
            || vars.has(credentials::WEB_IDENTITY)
            || credentials::has_profile(vars)
            || container.is_some_and(|endpoint| endpoint.url.tls);
        let tls = if tls {
            let (context, warnings) = trust::trust(vars)?;
            trace.warnings.extend(warnings);
            Some(context)
        } else {
            None
        };
        let http = Http { tls, proxy: true };
        Ok(Self {
            object,
            job,
            vars,
            trace,
            settings,
            http,
            what: format!("cannot get {object}"),
            etag: None,
            link: None,
        })
    }

    /// Attempts until one succeeds, one fails for good, or the time is up.
    async fn until(&mut self, deadline: Instant) -> Result<Option<Content>, FetchError> {
        let start = Instant::now();
        let mut last: Option<FetchError> = None;
        loop {
            self.trace.attempts += 1;
            let attempts = self.trace.attempts;
            let error = match timeout_at(deadline, self.attempt()).await {
                Ok(Ok(content)) => return Ok(content),
                Ok(Err(error)) if !error.transient => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => return Err(self.gave_up(last, start)),
            };
            let remaining = deadline.saturating_duration_since(Instant::now());
            match backoff::delay(attempts, remaining, crate::sys::random()) {
                Some(delay) => sleep(delay).await,
                None => return Err(self.gave_up(Some(error), start)),
            }
            last = Some(error);
        }
    }

    /// The deadline's error, in the words of the last failure if there was one.
    fn gave_up(&self, last: Option<FetchError>, start: Instant) -> FetchError {
        let error = last.unwrap_or_else(|| {
            let host = self.link.as_ref().map_or("the credentials' provider", |link| &link.host);
            FetchError::new(Kind::Unreachable, format!("{}: no complete answer of {host}", self.what))
                .hint(connection::SLOW)
        });
        let attempts = match self.trace.attempts {
            1 => "1 attempt".to_owned(),
            n => format!("{n} attempts"),
        };
        let seconds = start.elapsed().as_secs_f64();
        let message = format!("{} (gave up after {attempts} in {seconds:.1} s)", error.message);
        FetchError { message, ..error }
    }

    async fn attempt(&mut self) -> Result<Option<Content>, FetchError> {
        if self.link.is_none() {
            self.link = Some(self.connect().await?);
        }
        match self.get().await {
            Err(Failure::Elsewhere(region)) => self.follow(region).await,
            Err(Failure::Error(error)) => Err(error),
            Ok(content) => Ok(content),
        }
    }

    /// The bucket is in `region`: asks there, once.
    async fn follow(&mut self, region: String) -> Result<Option<Content>, FetchError> {
        let known = self.link.take().filter(|link| !link.moved);
        let Some(known) = known else {
            return Err(FetchError::new(
                Kind::Setting,
                format!("{}: S3 sends from region to region", self.what),
            ));
        };
        self.link = Some(Link { moved: true, ..self.link_to(known.credentials, region) });
        match self.get().await {
            Ok(content) => Ok(content),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Elsewhere(region)) => Err(FetchError::new(
                Kind::Setting,
                format!("{}: S3 sends from region to region, last to {region}", self.what),
            )),
        }
    }

    async fn connect(&mut self) -> Result<Link, FetchError> {
        let early = region::early(&self.http, self.vars, &self.settings).await;
        let known = early.as_deref().unwrap_or(region::FALLBACK);
        let credentials =
            credentials::load(&self.http, self.vars, known, &self.settings, self.trace).await.map_err(
                |error| FetchError { message: format!("{}: {}", self.what, error.message), ..error },
            )?;
        let instance = self.trace.origin.credentials.as_deref() == Some(credentials::INSTANCE);
        let region = match early {
            None if instance && self.settings.endpoint.is_none() => region::instance(&self.settings).await,
            early => early,
        };
        Ok(self.link_to(credentials, region.unwrap_or_else(|| region::FALLBACK.to_owned())))
    }

    fn link_to(&mut self, credentials: Credentials, region: String) -> Link {
        let settings = &self.settings;
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(self.http.client())
            .credentials_provider(credentials.clone())
            .region(Region::new(region.clone()))
            .force_path_style(settings.path_style)
            .use_fips(settings.fips)
            .use_dual_stack(settings.dual_stack)
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(settings.patience.connect)
                    .read_timeout(settings.patience.answer)
                    .build(),
            )
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some((endpoint, _)) = &settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let host = settings.host(&region);
        self.trace.origin.region = Some(region.clone());
        self.trace.origin.endpoint = Some(host.clone());
        Link { client: Client::from_conf(config.build()), credentials, region, host, moved: false }
    }

    async fn get(&mut self) -> Result<Option<Content>, Failure> {
        let Some(link) = &self.link else {
            return Err(Failure::Error(FetchError::new(
                Kind::Internal,
                format!("{}: not connected", self.what),
            )));
        };
        let origin = &self.trace.origin;
        let who =
            origin.role.as_deref().or(origin.credentials.as_deref()).unwrap_or("the credentials").to_owned();
        let asked = Asked {
            what: &self.what,
            host: &link.host,
            tls: self.settings.tls(),
            proxy: true,
            vars: self.vars,
        };
        let request = link
            .client
            .get_object()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .set_version_id(self.object.version_id.clone())
            .set_if_none_match(self.etag.as_ref().map(|etag| format!("\"{etag}\"")));
        let tried = Tried { object: self.object, asked, region: &link.region, who: &who };
        let mut output = match request.send().await {
            Ok(output) => output,
            Err(error) if self.etag.is_some() && failure::not_modified(&error) => {
                self.trace.origin.etag.clone_from(&self.etag);
                return Ok(None);
            }
            Err(error) => return Err(tried.failure(&error)),
        };
        let length = output.content_length().and_then(|length| u64::try_from(length).ok());
        let body = std::mem::replace(&mut output.body, ByteStream::from_static(b""));
        let content = self.body(body, length, &tried.asked).await.map_err(Failure::Error)?;
        self.note(&output);
        Ok(Some(content))
    }

    /// The whole body, within the cap and never stalling for long.
    async fn body(
        &self,
        mut body: ByteStream,
        length: Option<u64>,
        asked: &Asked<'_>,
    ) -> Result<Content, FetchError> {
        let max = self.job.max_size;
        let name = || self.object.to_string();
        if let Some(length) = length.filter(|length| *length > max) {
            return Err(too_large(&name(), Some(length), max));
        }
        let capacity = usize::try_from(length.unwrap_or(0)).unwrap_or(0);
        let mut content = Content::with_capacity(capacity);
        let stall = self.settings.patience.stall;
        loop {
            match timeout(stall, body.try_next()).await {
                Ok(Ok(Some(piece))) => {
                    if content.len() as u64 + piece.len() as u64 > max {
                        return Err(too_large(&name(), None, max));
                    }
                    content.extend(&piece);
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    let error = unanswered(asked, &error);
                    return Err(FetchError {
                        message: format!("{} after {} bytes of the body", error.message, content.len()),
                        ..error
                    });
                }
                Err(_) => return Err(self.stalled(asked, content.len(), length, stall)),
            }
        }
        match length {
            Some(length) if length != content.len() as u64 => Err(FetchError::new(
                Kind::Unreachable,
                format!("{}: {} ended after {} of {length} bytes", self.what, asked.host, content.len()),
            )
            .transient()),
            _ => Ok(content),
        }
    }

    fn stalled(&self, asked: &Asked, got: usize, length: Option<u64>, stall: Duration) -> FetchError {
        let of = length.map_or_else(String::new, |length| format!(" of {length}"));
        FetchError::new(
            Kind::Unreachable,
            format!(
                "{}: {} sent nothing for {:.1} s after {got}{of} bytes",
                self.what,
                asked.host,
                stall.as_secs_f64()
            ),
        )
        .hint(connection::SLOW)
        .transient()
    }

    fn note(&mut self, output: &GetObjectOutput) {
        let origin = &mut self.trace.origin;
        origin.etag = output.e_tag().map(|tag| super::error::quote(tag.trim_matches('"')));
        // "null" is S3's name for the version of an object in a bucket without versions.
        origin.version_id = output.version_id().filter(|id| *id != "null").map(super::error::quote);
        origin.last_modified = output.last_modified().and_then(|time| time.fmt(Format::DateTime).ok());
    }
}
