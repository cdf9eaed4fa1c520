//! What is answered.

use super::request::Request;
use super::{fpm_status, metrics, own};
use crate::control::protocol::{self, Health, Level, Reply, Status};
use crate::control::server::{Desk, Replies};
use crate::runtime::board::Board;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

/// How long the event loop may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

const TEXT: &str = "text/plain; charset=utf-8";
/// OpenMetrics 1.0, section "Content-Type".
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PATHS: &str = "there are /livez, /readyz (both with ?verbose) and /metrics\n";

/// Where the answers come from.
pub struct Source {
    pub board: Rc<Board>,
    pub desk: Rc<dyn Desk>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Answer {
    /// With a body of plain text; a refusal's own words where it is empty.
    pub fn plain(status: u16, body: String) -> Self {
        let body = if body.is_empty() { format!("{}\n", reason(status)) } else { body };
        Self { status, content_type: TEXT, body }
    }

    /// As it is sent. HEAD gets everything but the body.
    pub fn bytes(&self, with_body: bool) -> Vec<u8> {
        let allow = if self.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{allow}Connection: close\r\n\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len()
        );
        let mut bytes = head.into_bytes();
        if with_body {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    }
}

impl Source {
    /// Answers a request.
    pub async fn answer(&self, request: &Request) -> Answer {
        match request.path.as_str() {
            "/livez" => self.health(Level::Alive, request).await,
            "/readyz" => self.health(Level::Ready, request).await,
            "/metrics" => self.metrics().await,
            _ => Answer::plain(404, PATHS.to_owned()),
        }
    }

    async fn health(&self, level: Level, request: &Request) -> Answer {
        let health = self.board.health(level);
        let status = if request.asks_for("verbose") { self.status().await } else { None };
        Answer::plain(if health.healthy { 200 } else { 503 }, words(level, &health, status.as_deref()))
    }

    async fn metrics(&self) -> Answer {
        let Some(status) = self.status().await else {
            return Answer::plain(503, "init's event loop does not answer\n".to_owned());
        };
        let pages = self.board.status_pages.borrow().clone();
        let pools = fpm_status::ask(pages).await;
        let body = metrics::render(&status, &self.board.timeline(), &pools, &own::read());
        Answer { status: 200, content_type: OPENMETRICS, body }
    }

    async fn status(&self) -> Option<Box<Status>> {
        let (to, mut answer) = Replies::pair();
        self.desk.take(protocol::Request::Status, to);
        match tokio::time::timeout(ANSWER_WITHIN, answer.recv()).await {
            Ok(Some(Reply::Status(status))) => Some(status),
            _ => None,
        }
    }
}

/// `ok` or not, the reasons, and in detail each service.
fn words(level: Level, health: &Health, status: Option<&Status>) -> String {
    let mut text = match (health.healthy, level) {
        (true, _) => "ok\n".to_owned(),
        (false, Level::Alive) => "not alive\n".to_owned(),
        (false, Level::Ready) => "not ready\n".to_owned(),
    };
    // Writing to a String cannot fail.
    for reason in &health.reasons {
        let _ = writeln!(text, "{reason}");
    }
    for service in status.map(|status| status.services.as_slice()).unwrap_or_default() {
        let _ = write!(text, "{:<24} {}", service.name, service.state);
        for note in [
            &service.waits_for.as_ref().map(|other| format!("waits for {other}")),
            &service.last_exit,
            &service.degraded,
        ]
        .into_iter()
        .flatten()
        {
            let _ = write!(text, "; {note}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{Phase, Service};

    #[test]
    fn verdicts_read_well() {
        let health = |healthy, reason: &str| Health {
            healthy,
            phase: Phase::Running,
            reasons: (!reason.is_empty()).then(|| reason.to_owned()).into_iter().collect(),
        };
        assert_eq!(words(Level::Ready, &health(true, ""), None), "ok\n");
        assert_eq!(
            words(Level::Ready, &health(true, "web is degraded: busy"), None),
            "ok\nweb is degraded: busy\n"
        );
        let service = Service {
            name: "queue:1".to_owned(),
            state: "BACKOFF".to_owned(),
            last_exit: Some("exited 1".to_owned()),
            ..Service::default()
        };
        let status = Status { services: vec![service], ..Status::default() };
        assert_eq!(
            words(Level::Ready, &health(false, "queue:1 is BACKOFF"), Some(&status)),
            "not ready\nqueue:1 is BACKOFF\nqueue:1                  BACKOFF; exited 1\n"
        );
    }

    #[test]
    fn an_answer_is_whole_and_head_has_no_body() {
        let answer = Answer::plain(405, String::new());
        let text = String::from_utf8(answer.bytes(true)).unwrap();
        assert!(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{text}");
        assert!(
            text.contains("\r\nContent-Length: 19\r\n") && text.contains("\r\nAllow: GET, HEAD\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\nMethod Not Allowed\n"), "{text}");
        assert!(answer.bytes(false).ends_with(b"\r\n\r\n"));
    }
}
