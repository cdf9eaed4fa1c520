//! The client against servers that behave badly. nginx itself is in tests/life.

use super::super::{Outcome, attempt};
use super::{Head, HttpError, MOST_HEAD};
use crate::config::plan::ProbePlan;
use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

const DEADLINE: Duration = Duration::from_secs(10);

fn whole(text: &[u8]) -> Result<Option<u16>, HttpError> {
    Head::default().feed(text)
}

fn plan(address: String) -> ProbePlan {
    ProbePlan::Http {
        address,
        path: "/health?token=secret".into(),
        host: "a.example".into(),
        status: vec![200..=399],
    }
}

/// The request, to its empty line.
async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
    }
    String::from_utf8(request).unwrap()
}

/// What a probe makes of a server that reads the request and then does this.
async fn against<F: Future<Output = ()>>(within: Duration, serve: impl FnOnce(TcpStream) -> F) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plan = plan(listener.local_addr().unwrap().to_string());
    let server = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        serve(stream).await;
    };
    let asked = attempt(&plan, within);
    let both = async {
        tokio::pin!(asked, server);
        // A server that never ends is left as soon as there is an outcome.
        tokio::select! {
            outcome = &mut asked => outcome,
            () = &mut server => asked.await,
        }
    };
    tokio::time::timeout(DEADLINE, both).await.unwrap()
}

async fn answered(text: &'static [u8]) -> Outcome {
    against(DEADLINE, async |mut stream| {
        let _ = stream.write_all(text).await;
    })
    .await
}

#[track_caller]
fn not_ready(outcome: &Outcome, word: &str) {
    assert!(matches!(outcome, Outcome::NotReady(why) if why.contains(word)), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("secret"));
}

#[test]
fn the_status_is_that_of_the_last_head() {
    for (text, status) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], Some(200)),
        (b"HTTP/1.0 503\r\nA: b\r\n\r\nbody", Some(503)),
        (b"HTTP/1.1 204 \nA: b\n\n", Some(204)),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n", Some(404)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", None),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n", None),
        (b"HT", None),
    ] {
        assert_eq!(whole(text).unwrap(), status, "{}", text.escape_ascii());
    }
}

#[test]
fn what_is_not_http_is_refused_as_soon_as_it_shows() {
    for text in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"\r\n",
        b"\0",
    ] {
        assert!(matches!(whole(text), Err(HttpError::NotHttp)), "{}", text.escape_ascii());
    }
}

proptest! {
    #[test]
    fn no_pieces_make_a_difference_and_nothing_grows(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 1_usize..40,
        interim in 0_usize..4,
    ) {
        let mut text = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(interim);
        text.extend_from_slice(b"HTTP/1.1 218 This is fine\r\nServer: x\r\n\r\n");
        text.extend_from_slice(&body);
        let mut head = Head::default();
        let found = text.chunks(cut).find_map(|piece| head.feed(piece).unwrap());
        prop_assert_eq!(found, Some(218));
        prop_assert!(head.pending.len() <= MOST_HEAD);
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..500), cut in 1_usize..50) {
        let mut head = Head::default();
        for piece in noise.chunks(cut) {
            if !matches!(head.feed(piece), Ok(None)) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn the_status_decides() {
    assert_eq!(answered(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await, Outcome::Ready);
    assert_eq!(answered(b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n").await, Outcome::Ready);
    not_ready(&answered(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await, "answers 503 to /health");
    not_ready(&answered(b"HTTP/1.1 404 Not Found\r\n\r\n").await, "answers 404");
}

#[tokio::test]
async fn what_is_sent_is_a_whole_request_over_a_unix_socket_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let plan = plan(path.to_str().unwrap().to_owned());
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        request
    };
    let (outcome, request) = tokio::join!(attempt(&plan, DEADLINE), server);
    assert_eq!(outcome, Outcome::Ready);
    let lines: Vec<&str> = request.split("\r\n").collect();
    assert_eq!(lines[..2], ["GET /health?token=secret HTTP/1.1", "Host: a.example"]);
    assert!(lines.contains(&"Connection: close"), "{request}");
}

#[tokio::test]
async fn hostile_servers_are_not_ready_and_say_why() {
    not_ready(&answered(b"").await, "closed the connection");
    not_ready(&answered(b"HTTP/1.1 200 OK\r\nA: b").await, "closed the connection");
    not_ready(&answered(b"220 mail.example ESMTP\r\n").await, "does not speak HTTP/1");
    let endless = against(DEADLINE, async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X-Endless: again and again and again\r\n").await.is_ok() {}
    });
    not_ready(&endless.await, "more than 16384 bytes");
    let interim =
        against(
            DEADLINE,
            async |mut stream| {
                while stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {}
            },
        );
    not_ready(&interim.await, "more than 16384 bytes");
}

#[tokio::test]
async fn a_slow_server_runs_into_the_timeout_and_a_slow_body_does_not() {
    let within = Duration::from_millis(300);
    let silent = against(within, async |stream| {
        std::future::pending::<()>().await;
        drop(stream);
    });
    not_ready(&silent.await, "no answer within 0.3s");
    let drops = against(within, async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    not_ready(&drops.await, "no answer within");
    let stream_of_events = against(DEADLINE, async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
        while stream.write_all(b"data: x\n\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(stream_of_events.await, Outcome::Ready);
}

#[tokio::test]
async fn nobody_there_is_not_ready() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    not_ready(&attempt(&plan(address), DEADLINE).await, "refused");
}
