//! PURE: the head of an HTTP request, as much of it as is needed: RFC 9112, sections 2 and 3.

/// The longest head in bytes.
pub const MOST_HEAD: usize = 8 * 1024;

/// Whether `head` has its empty line. Lone line feeds are taken too, as section 2.2 allows.
pub fn is_complete(head: &[u8]) -> bool {
    memchr::memmem::find(head, b"\r\n\r\n").is_some() || memchr::memmem::find(head, b"\n\n").is_some()
}

/// A request that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub path: String,
    /// Without its `?`.
    pub query: String,
}

impl Request {
    /// The request of a `head`; otherwise the status that says what is wrong with it.
    pub fn parse(head: &[u8]) -> Result<Self, u16> {
        if !is_complete(head) {
            return Err(431);
        }
        let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_end();
        let mut words = std::str::from_utf8(line).map_err(|_| 400_u16)?.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(400);
        };
        if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
            return Err(400);
        }
        if !matches!(method, "GET" | "HEAD") {
            return Err(405);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self { path: path.to_owned(), query: query.to_owned() })
    }

    /// Whether the query has `name`, or `name=…`.
    pub fn asks_for(&self, name: &str) -> bool {
        self.query.split('&').any(|part| part.split('=').next() == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<(String, String), u16> {
        Request::parse(head.as_bytes()).map(|request| (request.path, request.query))
    }

    #[test]
    fn requests_are_read() {
        assert_eq!(parse("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), Ok(("/metrics".into(), "".into())));
        assert_eq!(parse("HEAD /readyz?verbose HTTP/1.0\n\n"), Ok(("/readyz".into(), "verbose".into())));
        let request = Request::parse(b"GET /readyz?a&verbose=1 HTTP/1.1\r\n\r\n").unwrap();
        assert!(request.asks_for("verbose") && request.asks_for("a") && !request.asks_for("1"));
    }

    #[test]
    fn what_is_none_gets_a_status() {
        for (head, status) in [
            ("", 431),
            ("GET / HTTP/1.1\r\n", 431),
            ("\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\n\r\n", 400),
            ("GET http://x/ HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/2\r\n\r\n", 400),
            ("PRI * HTTP/2.0\r\n\r\n", 400),
            ("POST /livez HTTP/1.1\r\n\r\n", 405),
        ] {
            assert_eq!(parse(head), Err(status), "{head:?}");
        }
        assert_eq!(Request::parse(b"GET /\xff HTTP/1.1\r\n\r\n"), Err(400));
    }
}
