//! The S3 of `docker/demo`: a server that verifies every signature, and the ECS credentials endpoint beside it.
//!
//! Buckets are directories. Two identities exist, as in an account: the *owner* may do anything, the *task role* may
//! only read, and only with the session token that the credentials endpoint hands out. The endpoint answers 503 to
//! its first `--warm-up` requests, as the ECS agent does while it has no credentials yet.
//!
//! ```text
//! OWNER_KEY=… OWNER_SECRET=… s3-server --root DIR [--s3 127.0.0.1:9090] [--credentials 127.0.0.1:9091] [--warm-up N]
//! ```
//!
//! Prints one line for each address it listens on, then one for each request. Not a server for production.

#![forbid(unsafe_code)]

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use std::error::Error;
use std::future::{Future, ready};
use std::io::Write;
use std::path::PathBuf;
use std::pin::Pin;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const ROLE_KEY: &str = "ASIADEMOTASKROLE";
const TOKEN_HEADER: &str = "x-amz-security-token";

fn main() -> Outcome {
    let options = Options::parse()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(options))
}

struct Options {
    root: PathBuf,
    s3: String,
    credentials: String,
    warm_up: u32,
}

impl Options {
    fn parse() -> Outcome<Self> {
        use lexopt::prelude::*;
        let mut options = Self {
            root: PathBuf::new(),
            s3: "127.0.0.1:9090".into(),
            credentials: "127.0.0.1:9091".into(),
            warm_up: 0,
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("root") => options.root = arguments.value()?.into(),
                Long("s3") => options.s3 = arguments.value()?.string()?,
                Long("credentials") => options.credentials = arguments.value()?.string()?,
                Long("warm-up") => options.warm_up = arguments.value()?.parse()?,
                other => return Err(other.unexpected().into()),
            }
        }
        if options.root.as_os_str().is_empty() {
            return Err("--root DIR is missing".into());
        }
        Ok(options)
    }
}

async fn serve(options: Options) -> Outcome {
    let role = Role::new()?;
    let mut auth = SimpleAuth::from_single(std::env::var("OWNER_KEY")?, std::env::var("OWNER_SECRET")?);
    auth.register(ROLE_KEY.into(), role.secret.clone().into());

    let files = s3s_fs::FileSystem::new(&options.root)
        .map_err(|error| format!("cannot serve {}: {error:?}", options.root.display()))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(auth);
    service.set_access(Policy { token: role.token.clone() });
    let service = service.build();

    let s3 = listen(&options.s3).await?;
    let endpoint = listen(&options.credentials).await?;
    let mut warm_up = options.warm_up;
    loop {
        tokio::select! {
            connection = s3.accept() => drop(tokio::spawn(speak_s3(connection?.0, service.clone()))),
            connection = endpoint.accept() => {
                let document = if warm_up == 0 { Some(role.document()) } else { None };
                warm_up = warm_up.saturating_sub(1);
                drop(tokio::spawn(give_credentials(connection?.0, document)));
            }
        }
    }
}

async fn listen(address: &str) -> Outcome<TcpListener> {
    let listener =
        TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    say(&format!("listening on {}", listener.local_addr()?));
    Ok(listener)
}

async fn speak_s3(stream: TcpStream, service: S3Service) {
    let io = hyper_util::rt::TokioIo::new(stream);
    let http = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
    if let Err(error) = http.serve_connection(io, service).await {
        say(&format!("connection ended early: {error}"));
    }
}

/// One request, one answer: the ECS agent's endpoint for a task's credentials.
async fn give_credentials(stream: TcpStream, document: Option<String>) {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    let mut line = String::new();
    while matches!(stream.read_line(&mut line).await, Ok(1..)) && line.trim_end() != "" {
        if request.is_empty() {
            request = line.trim_end().to_owned();
        }
        line.clear();
    }
    let (status, body) = match document {
        Some(document) => ("200 OK", document),
        None => (
            "503 Service Unavailable",
            r#"{"code":"CredentialsUninitialized","message":"credentials are not there yet","HTTPErrorCode":503}"#.into(),
        ),
    };
    say(&format!("credentials: {request} -> {status}"));
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    // A client that has gone away is its own affair.
    let _ = stream.get_mut().write_all((head + &body).as_bytes()).await;
    let _ = stream.get_mut().shutdown().await;
}

/// The task role's secrets, new with every start.
struct Role {
    secret: String,
    token: String,
}

impl Role {
    fn new() -> Outcome<Self> {
        Ok(Self { secret: random()?, token: random()? })
    }

    fn document(&self) -> String {
        serde_json::json!({
            "RoleArn": "arn:aws:iam::123456789012:role/demo-task",
            "AccessKeyId": ROLE_KEY,
            "SecretAccessKey": self.secret,
            "Token": self.token,
            "Expiration": "2099-12-31T23:59:59Z",
        })
        .to_string()
    }
}

fn random() -> Outcome<String> {
    // A UUID without its dashes: 122 random bits, from the kernel.
    Ok(php_init::sys::kernel::read("/proc/sys/kernel/random/uuid")?.trim().replace('-', ""))
}

/// Who may do what, once the signature is right.
struct Policy {
    token: String,
}

impl S3Access for Policy {
    fn check<'a, 'b, 'c, 'out>(
        &'a self,
        request: &'b mut S3AccessContext<'c>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'out>>
    where
        'a: 'out,
        'b: 'out,
        'c: 'out,
        Self: 'out,
    {
        let operation = request.s3_op().name();
        let who = request.credentials().map(|credentials| credentials.access_key.as_str());
        let token = request.headers().get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let verdict = match who {
            None => Err(s3_error!(AccessDenied, "sign the request")),
            Some(ROLE_KEY) if token != Some(self.token.as_str()) => {
                Err(s3_error!(InvalidToken, "wrong session token"))
            }
            Some(ROLE_KEY) if !matches!(operation, "GetObject" | "HeadObject") => {
                Err(s3_error!(AccessDenied, "the task role may only read objects"))
            }
            Some(_) => Ok(()),
        };
        let end = if verdict.is_ok() { "allowed" } else { "denied" };
        say(&format!("s3: {operation} {} by {} -> {end}", request.uri().path(), who.unwrap_or("nobody")));
        Box::pin(ready(verdict))
    }
}

fn say(line: &str) {
    // A closed standard output ends the narration, not the server.
    let _ = writeln!(std::io::stdout(), "s3-server: {line}");
}
