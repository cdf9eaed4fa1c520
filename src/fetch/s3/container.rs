//! The container credentials endpoint of ECS and EKS.
//!
//! aws-config has a provider for it, but it gives up after three tries (less than a second of the agent's 503
//! "CredentialsUninitialized" while a task starts), drops the code and message of the agent's refusals, and refuses a token file that
//! ends in a line feed. The protocol is that of amazon-ecs-agent, v1/credentials_handler.go, and of the SDKs' "container
//! credential provider": plain HTTP only to this machine and to the platform's own link-local addresses, the token
//! read again for each request.

use super::connection::{Asked, unanswered};
use super::http::Http;
use super::url::Url;
use crate::fetch::error::{FetchError, Kind, quote};
use crate::fetch::secret::Redact;
use crate::fetch::vars::Vars;
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::byte_stream::ByteStream;
use serde::Deserialize;
use std::time::Duration;

pub const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
pub const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ECS_HOST: &str = "http://169.254.170.2";
/// The agent's answers are around 2 kB.
const MAX_ANSWER: usize = 64 * 1024;

/// Where the credentials are, and which variable says so.
pub struct Endpoint {
    pub uri: String,
    pub url: Url,
    variable: &'static str,
}

impl Endpoint {
    /// `None`: the platform names none.
    pub fn find(vars: &Vars) -> Result<Option<Self>, FetchError> {
        let (variable, uri) = if let Some(path) = vars.get(RELATIVE) {
            (RELATIVE, format!("{ECS_HOST}{}{path}", if path.starts_with('/') { "" } else { "/" }))
        } else if let Some(uri) = vars.get(FULL) {
            (FULL, uri.to_owned())
        } else {
            return Ok(None);
        };
        let bad = |why: &str| {
            FetchError::new(Kind::Setting, format!("cannot ask for container credentials: {variable} {why}"))
        };
        let url = Url::parse(&uri).map_err(bad)?;
        if !url.tls && !url.is_local() {
            return Err(bad("is plain HTTP to a host that is neither this machine nor the platform's own")
                .hint("use https, or a loopback address"));
        }
        Ok(Some(Self { uri, url, variable }))
    }

    /// Asks once for credentials; gives the role's ARN too where the platform tells it.
    pub async fn load(
        &self,
        http: &Http,
        vars: &Vars,
        redact: &mut Redact,
    ) -> Result<(Credentials, Option<String>), FetchError> {
        let token = token(vars)?;
        if let Some(token) = &token {
            redact.add(token);
        }
        let (status, body) = get(http, &self.uri, &self.url, token.as_deref(), vars, WHAT).await?;
        let answer: Answer = serde_json::from_slice(&body).unwrap_or_default();
        if !(200..300).contains(&status) {
            return Err(self.refused(status, &answer));
        }
        let (Some(id), Some(secret)) = (answer.access_key_id, answer.secret_access_key) else {
            // The text of the parser's error would quote what it found, which may be a key.
            let why = answer.code.or(answer.message).map_or_else(
                || "it is not JSON with AccessKeyId and SecretAccessKey".to_owned(),
                |text| quote(&text),
            );
            return Err(FetchError::new(
                Kind::Unreachable,
                format!("{WHAT}: the answer of {} is of no use: {why}", self.url.authority()),
            )
            .transient());
        };
        redact.add(&secret);
        if let Some(token) = &answer.token {
            redact.add(token);
        }
        Ok((Credentials::new(id, secret, answer.token, None, "EcsContainer"), answer.role))
    }

    fn refused(&self, status: u16, answer: &Answer) -> FetchError {
        let said: Vec<String> =
            [&answer.code, &answer.message].into_iter().flatten().map(|text| quote(text)).collect();
        let said = if said.is_empty() { String::new() } else { format!(" ({})", said.join(": ")) };
        let message = format!("{WHAT}: {} answers {status}{said}", self.url.authority());
        if status == 429 || status >= 500 {
            return FetchError::new(Kind::Unreachable, message)
                .hint("the platform's agent has no credentials for this task yet, or is in trouble")
                .transient();
        }
        let error = FetchError::new(Kind::Forbidden, message);
        match (status, self.variable) {
            (401 | 403, FULL) => error.hint(format!("check {TOKEN} and {TOKEN_FILE}")),
            _ => error.hint(format!("{} does not name the credentials of a running task", self.variable)),
        }
    }
}

const WHAT: &str = "cannot get container credentials";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    #[serde(rename = "AccessKeyId")]
    access_key_id: Option<String>,
    #[serde(rename = "SecretAccessKey")]
    secret_access_key: Option<String>,
    #[serde(rename = "Token")]
    token: Option<String>,
    #[serde(rename = "RoleArn")]
    role: Option<String>,
    #[serde(alias = "Code")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

/// The value of the Authorization header.
fn token(vars: &Vars) -> Result<Option<String>, FetchError> {
    let (name, token) = if let Some(path) = vars.get(TOKEN_FILE) {
        let bytes = crate::fetch::file::read(path.as_ref(), 64 * 1024).map_err(|error| FetchError {
            kind: Kind::Forbidden,
            message: format!("{WHAT}: {TOKEN_FILE}: {}", error.message),
            ..error
        })?;
        (TOKEN_FILE, String::from_utf8_lossy(&bytes).trim().to_owned())
    } else if let Some(token) = vars.get(TOKEN) {
        (TOKEN, token.to_owned())
    } else {
        return Ok(None);
    };
    if token.is_empty() || token.chars().any(|c| c.is_control() || !c.is_ascii()) {
        return Err(FetchError::new(
            Kind::Setting,
            format!("{WHAT}: {name} does not hold one line of ASCII text"),
        ));
    }
    Ok(Some(token))
}

/// One GET under its own timeouts. Gives status and body; what got no answer is an error.
pub async fn get(
    http: &Http,
    uri: &str,
    url: &Url,
    authorization: Option<&str>,
    vars: &Vars,
    what: &str,
) -> Result<(u16, Vec<u8>), FetchError> {
    let direct = Http { proxy: http.proxy && !url.is_local(), tls: http.tls.clone().filter(|_| url.tls) };
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(2))
        .read_timeout(Duration::from_secs(5))
        .build();
    let bad = |why: String| FetchError::new(Kind::Setting, format!("{what}: {why}"));
    let mut request = HttpRequest::get(uri).map_err(|_| bad("the address is malformed".to_owned()))?;
    request.headers_mut().insert("accept", "application/json");
    if let Some(token) = authorization {
        request.headers_mut().insert("authorization", token.to_owned());
    }
    let host = url.authority();
    let asked = Asked { what, host: &host, tls: url.tls, proxy: direct.proxy, vars };
    let response = direct
        .connector(&settings)
        .call(request)
        .await
        .map_err(|error| unanswered(&asked, error.into_source().as_ref()))?;
    let status = response.status().as_u16();
    let body = async {
        let mut stream = ByteStream::new(response.into_body());
        let mut body = Vec::new();
        while let Some(piece) = stream.try_next().await.map_err(|error| unanswered(&asked, &error))? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ANSWER {
                return Err(bad(format!("the answer of {host} is larger than {MAX_ANSWER} bytes")));
            }
        }
        Ok(body)
    };
    match tokio::time::timeout(Duration::from_secs(5), body).await {
        Ok(body) => Ok((status, body?)),
        Err(_) => Err(FetchError::new(
            Kind::Unreachable,
            format!("{what}: {host} stops in the middle of its answer"),
        )
        .transient()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pairs: &[(&str, &str)]) -> Result<Option<Endpoint>, FetchError> {
        Endpoint::find(&Vars::of(pairs))
    }

    #[test]
    fn relative_before_full_and_no_clear_text_to_strangers() {
        let both = [(RELATIVE, "/v2/credentials/id"), (FULL, "http://127.0.0.1:1/x")];
        assert_eq!(find(&both).unwrap().unwrap().uri, "http://169.254.170.2/v2/credentials/id");
        assert_eq!(find(&both[1..]).unwrap().unwrap().uri, "http://127.0.0.1:1/x");
        assert!(find(&[]).unwrap().is_none());
        assert!(find(&[(FULL, "https://credentials.example.com/x")]).unwrap().is_some());
        for uri in ["http://10.0.0.1/x", "http://169.254.169.254/x", "credentials"] {
            assert_eq!(find(&[(FULL, uri)]).err().unwrap().kind, Kind::Setting, "{uri}");
        }
    }

    #[test]
    fn the_token_file_is_trimmed_and_read_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let vars = Vars::of(&[(TOKEN_FILE, path.to_str().unwrap()), (TOKEN, "other")]);
        assert_eq!(token(&vars).unwrap_err().kind, Kind::Forbidden);
        std::fs::write(&path, "Bearer one\n").unwrap();
        assert_eq!(token(&vars).unwrap().as_deref(), Some("Bearer one"));
        std::fs::write(&path, "Bearer two").unwrap();
        assert_eq!(token(&vars).unwrap().as_deref(), Some("Bearer two"));
        std::fs::write(&path, "two\nlines").unwrap();
        assert_eq!(token(&vars).unwrap_err().kind, Kind::Setting);
        assert_eq!(token(&Vars::of(&[(TOKEN, "t")])).unwrap().as_deref(), Some("t"));
    }

    #[test]
    fn refusals_keep_the_agents_words() {
        let endpoint = find(&[(RELATIVE, "/x")]).unwrap().unwrap();
        let answer: Answer = serde_json::from_str(
            r#"{"code":"CredentialsUninitialized","message":"not yet","HTTPErrorCode":503}"#,
        )
        .unwrap();
        let busy = endpoint.refused(503, &answer);
        assert!(busy.transient && busy.message.contains("503 (CredentialsUninitialized: not yet)"), "{busy}");
        let forbidden = endpoint.refused(400, &Answer::default());
        assert!(!forbidden.transient && forbidden.kind == Kind::Forbidden, "{forbidden}");
    }
}
