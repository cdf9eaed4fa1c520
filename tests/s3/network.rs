//! Endpoints, proxies, certificates; and the namespaces in which addresses can be had that the machine must not have.

use crate::child::{AUTH, Bed};
use crate::server::{KEY, Mangle, Reply, SECRET, Server, answer};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// `unshare` with `what`, in a user namespace of its own when not root.
pub fn unshare(what: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    if !std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(what).arg("--");
    command
}

/// Runs the test `name` again in a network namespace. `None` outside, after it has passed there; `Some` inside.
pub fn in_namespace(name: &str) -> Option<()> {
    const INSIDE: &str = "INIT_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return Some(());
    }
    let output = unshare(&["--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    None
}

/// Gives `addresses` to the namespace's loopback.
pub fn link_local(addresses: &[&str]) {
    let ip = |arguments: &[&str]| {
        let status = Command::new("ip").args(arguments).status().unwrap();
        assert!(status.success(), "ip {arguments:?}");
    };
    ip(&["link", "set", "lo", "up"]);
    for address in addresses {
        ip(&["addr", "add", &format!("{address}/32"), "dev", "lo"]);
    }
}

#[test]
fn endpoints_from_the_environment_in_their_order() {
    let bed = Bed::new();
    let s3 = bed.s3;
    let all = Server::local(move |_, _| Reply::Forward(s3, Mangle::None));
    let own = Server::local(move |_, _| Reply::Forward(s3, Mangle::None));
    let bed = bed.job(|job| job.endpoint = None).env("AWS_ENDPOINT_URL", all.url());
    bed.succeeds();
    assert_eq!((all.seen().len(), own.seen().len()), (1, 0));
    let bed = bed.env("AWS_ENDPOINT_URL_S3", own.url());
    bed.succeeds();
    assert_eq!((all.seen().len(), own.seen().len()), (1, 1));
}

#[test]
fn path_style_for_localhost_and_a_bucket_with_dots() {
    let bed = Bed::new();
    let port = bed.s3.port();
    bed.job(|job| job.endpoint = Some(format!("http://localhost:{port}"))).succeeds();
    let bed = Bed::new().job(|job| job.source = "s3://certs.eu-west-2.prod/app/.env".into());
    let dotted = bed.root.path().join("certs.eu-west-2.prod/app");
    std::fs::create_dir_all(&dotted).unwrap();
    std::fs::write(dotted.join(".env"), crate::child::dotenv()).unwrap();
    bed.succeeds();
}

#[test]
fn s3_goes_through_the_proxy_and_credentials_do_not() {
    let bed = Bed::new().no_keys();
    let s3 = bed.s3;
    let proxy =
        Server::local(move |request, _| match request.target.starts_with("http://s3.invalid/config/") {
            true => Reply::Forward(s3, Mangle::None),
            false => answer(502, "not for me"),
        });
    let credentials = Server::local(|request, _| match request.header("authorization") {
        Some(AUTH) => answer(200, format!(r#"{{"AccessKeyId":"{KEY}","SecretAccessKey":"{SECRET}"}}"#)),
        _ => answer(401, ""),
    });
    let bed = bed
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", credentials.url())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTH)
        .env("HTTP_PROXY", proxy.url())
        .job(|job| job.endpoint = Some("http://s3.invalid".into()));
    bed.succeeds();
    assert_eq!((proxy.seen().len(), credentials.seen().len()), (1, 1));

    let address = bed.s3;
    let bed = bed.through(address).env("NO_PROXY", "127.0.0.1");
    bed.succeeds();
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let bed = Bed::new().env("http_proxy", "http://user:correct-horse-battery@127.0.0.1:9").job(|job| {
        job.timeout_ms = 300;
    });
    bed.fails(69).says(&["http_proxy", "NO_PROXY"]);
}

/// A TLS server with a private authority in front of plain HTTP.
struct Tls {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TERMINATOR: &str = r"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)

def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

def serve(client):
    try:
        client = context.wrap_socket(client, server_side=True)
    except (OSError, ssl.SSLError):
        return
    behind = socket.create_connection(('127.0.0.1', int(sys.argv[3])))
    threading.Thread(target=pump, args=(client, behind), daemon=True).start()
    pump(behind, client)

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

impl Tls {
    fn start(behind: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let openssl = |arguments: &str| {
            let output =
                Command::new("openssl").args(arguments.split(' ')).current_dir(dir.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let names =
            "subjectAltName=IP:127.0.0.1,DNS:s3.private.invalid\nbasicConstraints=critical,CA:FALSE\n";
        std::fs::write(dir.path().join("names"), names).unwrap();
        openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority",
        );
        openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out request.pem -subj /CN=s3",
        );
        openssl(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem",
        );
        let mut child = Command::new("python3")
            .args(["-c", TERMINATOR])
            .args([dir.path().join("cert.pem"), dir.path().join("key.pem")])
            .arg(behind.port().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = format!("127.0.0.1:{}", line.trim()).parse().unwrap();
        Self { child, dir, address }
    }

    fn authority(&self) -> String {
        self.dir.path().join("ca.pem").to_str().unwrap().to_owned()
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    let bed = Bed::new();
    let tls = Tls::start(bed.s3);
    let bed = bed.job(|job| job.endpoint = Some(tls.url()));

    let run = bed.fails(69);
    run.says(&["authority that is not trusted", "AWS_CA_BUNDLE"]);
    assert_eq!(run.report.attempts, 1, "certificates do not mend themselves");

    // No roots at all in the image: the built-in ones, which do not know this authority either.
    let bed = bed.env("SSL_CERT_FILE", "/nonexistent");
    let run = bed.fails(69);
    run.says(&["authority that is not trusted"]);
    assert!(run.report.warnings[0].contains("built-in roots"), "{:#?}", run.report);

    let bed = bed.env("AWS_CA_BUNDLE", "/nonexistent/ca.pem");
    bed.fails(78).says(&["AWS_CA_BUNDLE /nonexistent/ca.pem: No such file"]);
    let bed = bed.env("AWS_CA_BUNDLE", tls.authority());
    bed.succeeds();
    bed.without(&["AWS_CA_BUNDLE"]).env("SSL_CERT_FILE", tls.authority()).succeeds();
}

#[test]
fn a_certificate_for_another_name_and_a_server_without_tls() {
    let bed = Bed::new();
    let (port, tls) = (bed.s3.port(), Tls::start(bed.s3));
    let bed = bed.env("AWS_CA_BUNDLE", tls.authority()).job(|job| {
        job.endpoint = Some(format!("https://localhost:{}", tls.address.port()));
    });
    bed.fails(69).says(&["is for another name"]);
    let bed = bed.job(|job| job.endpoint = Some(format!("https://127.0.0.1:{port}")));
    bed.fails(69).says(&["does not speak TLS", "http://"]);
}

#[test]
fn tls_through_a_proxys_tunnel() {
    let bed = Bed::new();
    let tls = Tls::start(bed.s3);
    let to = tls.address;
    let proxy = Server::local(move |request, _| match (request.method.as_str(), request.target.as_str()) {
        ("CONNECT", "s3.private.invalid:443") => Reply::Tunnel(to),
        _ => answer(502, ""),
    });
    let bed = bed
        .env("AWS_CA_BUNDLE", tls.authority())
        .env("HTTPS_PROXY", proxy.url())
        .job(|job| job.endpoint = Some("https://s3.private.invalid".into()));
    bed.succeeds();
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn the_file_source_needs_no_network() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from.env");
    std::fs::write(&from, crate::child::dotenv()).unwrap();
    let source = |path: &Path| format!("file://{}", path.display());
    Bed::new().no_keys().job(|job| job.source = source(&from)).succeeds();
    Bed::new().no_keys().job(|job| job.source = source(Path::new("/nonexistent"))).fails(66);
}
