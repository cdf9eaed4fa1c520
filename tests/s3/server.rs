//! Servers on loopback: a real S3 that verifies signatures, and a scripted HTTP server to stand in front of it or for
//! a credentials endpoint, a proxy or a faulty network. Each thread of theirs ends with its connection or the test process.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

pub const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Serves the directories of `root` as buckets to whoever signs with [`KEY`] and [`SECRET`].
pub fn s3(root: &Path) -> SocketAddr {
    let fs = s3s_fs::FileSystem::new(root).unwrap();
    let mut builder = S3ServiceBuilder::new(fs);
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
    });
    address
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub head: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What happens to a request.
pub enum Reply {
    Answer {
        status: u16,
        headers: String,
        body: String,
    },
    /// Nothing is ever sent.
    Hang,
    /// A long body, byte by byte, that never ends before its reader has gone.
    Drip,
    /// The connection ends without a byte.
    Close,
    /// To this server, and its answer back through `Mangle`.
    Forward(SocketAddr, Mangle),
    /// CONNECT: a tunnel to this server.
    Tunnel(SocketAddr),
}

/// What happens to the answer of the server behind.
pub enum Mangle {
    None,
    /// The body ends after so many bytes.
    Truncate(usize),
    /// The body stops after so many bytes, and the connection stays open.
    Stall(usize),
    /// The body comes in chunks, its length untold.
    Chunked,
    /// The head claims this length.
    Claim(u64),
}

pub fn answer(status: u16, body: impl Into<String>) -> Reply {
    Reply::Answer { status, headers: String::new(), body: body.into() }
}

pub fn s3_error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>R</RequestId></Error>"
    );
    Reply::Answer { status, headers: "content-type: application/xml\r\n".into(), body }
}

/// A running server and the requests that it saw.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request by `script`, which gets the request and its number, from 0.
    pub fn start(bind: &str, script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(bind).unwrap_or_else(|error| panic!("{bind}: {error}"));
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                std::thread::spawn(move || {
                    let mut stream = stream;
                    if let Some(request) = read_request(&mut stream) {
                        let number = {
                            let mut log = log.lock().unwrap();
                            log.push(request.clone());
                            log.len() - 1
                        };
                        // The other side may be gone; that is its good right.
                        let _ = reply(&mut stream, &request, script(&request, number));
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub fn local(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start("127.0.0.1:0", script)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

/// The bytes up to and with the empty line, and what was read of the body.
fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).unwrap(), body));
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let (head, _) = read_head(stream)?;
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some(Request { method, target, head })
}

/// Until the other side closes.
fn hold(stream: &mut TcpStream) {
    let mut buffer = [0; 256];
    while matches!(stream.read(&mut buffer), Ok(n) if n > 0) {}
}

fn reply(stream: &mut TcpStream, request: &Request, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Answer { status, headers, body } => write!(
            stream,
            "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ),
        Reply::Hang => {
            hold(stream);
            Ok(())
        }
        Reply::Drip => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")?;
            loop {
                stream.write_all(b"x")?;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        Reply::Close => Ok(()),
        Reply::Forward(to, mangle) => forward(stream, request, to, &mangle),
        Reply::Tunnel(to) => {
            let mut behind = TcpStream::connect(to)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            let (mut from, mut into) = (stream.try_clone()?, behind.try_clone()?);
            let up = std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut into);
                let _ = into.shutdown(std::net::Shutdown::Write);
            });
            let _ = std::io::copy(&mut behind, stream);
            let _ = stream.shutdown(std::net::Shutdown::Both);
            up.join().unwrap();
            Ok(())
        }
    }
}

/// Asks the server behind with the very same head, so that the signature holds; a proxy's absolute target becomes a path.
fn forward(
    stream: &mut TcpStream,
    request: &Request,
    to: SocketAddr,
    mangle: &Mangle,
) -> std::io::Result<()> {
    let path = match request.target.strip_prefix("http://") {
        Some(rest) => &rest[rest.find('/').unwrap_or(rest.len())..],
        None => &request.target,
    };
    let head = request.head.replacen(&request.target, path, 1);
    let mut behind = TcpStream::connect(to)?;
    behind.write_all(head.as_bytes())?;
    let Some((head, mut body)) = read_head(&mut behind) else { return Ok(()) };
    let length: usize = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap())
        })
        .unwrap_or(0);
    let mut rest = vec![0; length - body.len()];
    behind.read_exact(&mut rest)?;
    body.extend_from_slice(&rest);

    let without_length: String = head
        .trim_end()
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"))
        .fold(String::new(), |text, line| text + line + "\r\n");
    let claimed = match mangle {
        Mangle::Claim(length) => *length,
        _ => body.len() as u64,
    };
    if let Mangle::Chunked = mangle {
        write!(stream, "{without_length}transfer-encoding: chunked\r\nconnection: close\r\n\r\n")?;
        for chunk in body.chunks(16) {
            write!(stream, "{:x}\r\n", chunk.len())?;
            stream.write_all(chunk)?;
            stream.write_all(b"\r\n")?;
        }
        return stream.write_all(b"0\r\n\r\n");
    }
    write!(stream, "{without_length}content-length: {claimed}\r\nconnection: close\r\n\r\n")?;
    match mangle {
        Mangle::Truncate(after) => stream.write_all(&body[..*after]),
        Mangle::Stall(after) => {
            stream.write_all(&body[..*after])?;
            hold(stream);
            Ok(())
        }
        _ => stream.write_all(&body),
    }
}
