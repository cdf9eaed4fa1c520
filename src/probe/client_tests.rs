//! The client against peers that behave badly. PHP-FPM itself is in tests/probe.

use super::super::{Outcome, probe};
use crate::config::plan::ProbePlan;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

const PATH: &str = "/-/fpm-ping";
const DEADLINE: Duration = Duration::from_secs(10);

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    let mut out = vec![1, kind, 0, 1, 0, length, 0, 0];
    out.extend_from_slice(content);
    out
}

fn answered(stdout: &str, protocol_status: u8) -> Vec<u8> {
    [record(6, stdout.as_bytes()), record(3, &[0, 0, 0, 0, protocol_status, 0, 0, 0])].concat()
}

/// What a probe makes of a peer that reads the request and sends `bytes`.
async fn against(bytes: Vec<u8>) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // To the end of the request: an empty STDIN record.
        let mut request = Vec::new();
        while !request.ends_with(&[1, 5, 0, 1, 0, 0, 0, 0]) {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        // The prober may hang up before it has read all of a long answer.
        let _ = stream.write_all(&bytes).await;
    };
    let plan = ProbePlan::FastCgi { address, path: PATH.to_owned() };
    let both = async { tokio::join!(probe(&plan), peer).0 };
    tokio::time::timeout(DEADLINE, both).await.unwrap()
}

#[track_caller]
fn not_ready(outcome: Outcome, word: &str) {
    assert!(matches!(&outcome, Outcome::NotReady(reason) if reason.contains(word)), "{outcome:?}");
}

#[tokio::test]
async fn a_pong_is_ready() {
    let outcome = against(answered("Content-type: text/plain;charset=UTF-8\r\n\r\npong", 0)).await;
    assert_eq!(outcome, Outcome::Ready);
}

#[tokio::test]
async fn any_other_complete_answer_is_ready_but() {
    let outcome = against(answered("Status: 404 Not Found\r\n\r\nFile not found.\n", 0)).await;
    assert!(outcome.is_ready());
    assert!(
        matches!(&outcome, Outcome::ReadyBut(told) if told.contains("status 404") && told.contains("ping.path = /-/fpm-ping"))
    );
    assert!(matches!(against(answered("", 0)).await, Outcome::ReadyBut(_)));
}

#[tokio::test]
async fn everything_else_is_not_ready_and_says_why() {
    let overloaded = against(answered("", 2)).await;
    assert!(matches!(&overloaded, Outcome::Degraded(why) if why.contains("overloaded")), "{overloaded:?}");
    not_ready(against(answered("", 1)).await, "FastCGI status 1");
    not_ready(against(vec![]).await, "allowed_clients");
    not_ready(against(record(6, b"Content-type: x\r\n\r\npo")).await, "in the middle");
    not_ready(against(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await, "FastCGI");
    not_ready(against(record(6, &[b'x'; 200]).repeat(1000)).await, "65536 bytes");
}

#[tokio::test]
async fn nobody_there_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let plan = ProbePlan::FastCgi { address: address.clone(), path: PATH.to_owned() };
    not_ready(probe(&plan).await, "refused");
    not_ready(probe(&ProbePlan::Tcp { address }).await, "refused");
    not_ready(probe(&ProbePlan::Tcp { address: "php:9000".to_owned() }).await, "IP address");
    let path = tempfile::tempdir().unwrap().path().join("no.sock");
    not_ready(probe(&ProbePlan::Unix { path }).await, "No such file");
}

#[tokio::test]
async fn a_listener_is_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for address in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), port.to_string()] {
        assert_eq!(probe(&ProbePlan::Tcp { address }).await, Outcome::Ready);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(probe(&ProbePlan::Unix { path: path.clone() }).await, Outcome::Ready);
    drop(listener);
    // A socket file that nobody listens on.
    not_ready(probe(&ProbePlan::Unix { path }).await, "refused");
}

#[tokio::test]
async fn a_dropped_probe_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let plan = ProbePlan::FastCgi { address, path: PATH.to_owned() };
    let attempt = tokio::spawn(async move { probe(&plan).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    attempt.abort();
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
}
