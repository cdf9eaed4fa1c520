//! Why a request got no answer, in words and with a remedy.
//!
//! The causes are buried under five layers of "dispatch failure" and "client error (Connect)"; what names resolution,
//! refusal, certificates or a proxy is found by its own words, because the types (rustls, hyper-util) are the SDK's private
//! dependencies.

use super::http::proxy_variable;
use super::trust;
use crate::fetch::error::{FetchError, Kind, quote};
use crate::fetch::vars::Vars;
use std::error::Error;
use std::io;

/// All the texts of an error, outermost first.
fn texts(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if texts.last() != Some(&text) && texts.len() < 16 {
            texts.push(text);
        }
        // `io::Error::source` skips the error that it wraps.
        next = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    texts
}

/// The texts of an error as one line, for errors of providers whose insides are their own.
pub fn whole(error: &(dyn Error + 'static)) -> String {
    quote(&texts(error).join(": "))
}

/// The innermost text, which names the cause.
fn root(texts: &[String]) -> String {
    let text = texts.last().map(String::as_str).unwrap_or("no reason given");
    quote(text.rfind(" (os error ").map_or(text, |at| &text[..at]))
}

/// What was asked of whom.
pub struct Asked<'a> {
    /// Begins the message, as in "cannot get s3://… from …".
    pub what: &'a str,
    /// Host, and port where it is not the scheme's own.
    pub host: &'a str,
    pub tls: bool,
    pub proxy: bool,
    pub vars: &'a Vars,
}

/// The error of a request that got no answer.
pub fn unanswered(asked: &Asked, error: &(dyn Error + 'static)) -> FetchError {
    let texts = texts(error);
    let all = texts.join("\n").to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| all.contains(word));
    let fail = |why: String| FetchError::new(Kind::Unreachable, format!("{}: {why}", asked.what));
    let host = asked.host;
    let error = if has(&["invalid peer certificate", "certificate"]) {
        return certificate(asked, &fail, &all, &root(&texts));
    } else if has(&["corrupt message", "invalidcontenttype", "wrong version number"]) {
        return fail(format!("{host} does not speak TLS"))
            .hint("write the endpoint with http:// if it is meant to be plain HTTP");
    } else if has(&["proxy authorization required"]) {
        return fail("the proxy wants a user name and password".to_owned())
            .hint(proxy_hint(asked).unwrap_or_else(|| "put them into the proxy's address".to_owned()));
    } else if has(&["tunnel error"]) {
        fail(format!("the proxy opened no tunnel to {host}: {}", root(&texts)))
    } else if has(&["dns error", "lookup address", "name or service not known", "name resolution"]) {
        fail(format!("the name {host} cannot be resolved: {}", root(&texts)))
            .hint("check the endpoint and the region for typing errors, and DNS in the container's network")
    } else if has(&["connection refused"]) {
        fail(format!("{host} refuses connections")).hint("check the endpoint's host and port")
    } else if has(&["network is unreachable", "no route to host", "network unreachable"]) {
        fail(format!("there is no route to {host}")).hint(ROUTE)
    } else if has(&["connect timeout"]) {
        fail(format!("{host} does not accept the connection in time")).hint(ROUTE)
    } else if has(&["timeout", "timed out"]) {
        fail(format!("{host} does not answer in time")).hint(SLOW)
    } else {
        fail(format!("the connection to {host} broke: {}", root(&texts)))
    };
    match proxy_hint(asked) {
        Some(hint) => error.hint(hint).transient(),
        None => error.transient(),
    }
}

/// For whatever was cut short by a share of the deadline.
pub const SLOW: &str = "raise timeout if the source is only slow";
const ROUTE: &str = "a task in a private subnet needs a NAT gateway or a VPC endpoint for S3, and a security group that lets 443 out";

fn proxy_hint(asked: &Asked) -> Option<String> {
    let name = proxy_variable(asked.vars, asked.tls).filter(|_| asked.proxy)?;
    let host = asked.host.split(':').next().unwrap_or(asked.host);
    Some(format!("requests go through the proxy of {name}; add {host} to NO_PROXY if they should not"))
}

/// Certificates do not mend themselves: no further attempt.
fn certificate(asked: &Asked, fail: &dyn Fn(String) -> FetchError, all: &str, root: &str) -> FetchError {
    let host = asked.host;
    if all.contains("unknownissuer") {
        let place = trust::location(asked.vars);
        return fail(format!("the certificate of {host} is signed by an authority that is not trusted"))
            .hint(format!(
                "set AWS_CA_BUNDLE to a file with that authority's certificate (trusted now: {})",
                place.display()
            ))
            .hint("a proxy that opens TLS brings an authority of its own");
    }
    if all.contains("notvalidforname") || all.contains("not valid for name") {
        return fail(format!("the certificate of {host} is for another name"))
            .hint("use the endpoint's own name; for a bucket with dots or an endpoint of one's own set path-style = true");
    }
    if all.contains("expired") || all.contains("not valid yet") {
        return fail(format!("the certificate of {host} is expired or not valid yet"))
            .hint("check the clock of the host and the certificate's dates");
    }
    fail(format!("the certificate of {host} is not accepted: {root}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<dyn Error + Send + Sync>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_ref().map(|error| &**error as _)
        }
    }

    fn told(inner: impl Into<Box<dyn Error + Send + Sync>>, vars: &[(&str, &str)]) -> FetchError {
        let error =
            Layer("dispatch failure", Some(Box::new(Layer("client error (Connect)", Some(inner.into())))));
        let vars = Vars::of(vars);
        let asked = Asked { what: "cannot get x", host: "s3.test:443", tls: true, proxy: true, vars: &vars };
        unanswered(&asked, &error)
    }

    #[test]
    fn causes_are_found_below_their_wrapping() {
        let io = |text: &'static str| io::Error::other(Layer(text, None));
        let refused = told(io::Error::from_raw_os_error(111), &[]);
        assert!(
            refused.transient && refused.message == "cannot get x: s3.test:443 refuses connections",
            "{refused}"
        );
        let dns = told(io("failed to lookup address information: Name or service not known"), &[]);
        assert!(dns.transient && dns.message.contains("cannot be resolved"), "{dns}");
        let issuer = told(io("invalid peer certificate: UnknownIssuer"), &[]);
        assert!(!issuer.transient && issuer.hints[0].contains("AWS_CA_BUNDLE"), "{issuer}");
        let name = told(
            io(
                "invalid peer certificate: certificate not valid for name \"x\"; certificate is only valid for …",
            ),
            &[],
        );
        assert!(!name.transient && name.message.contains("another name"), "{name}");
        let plain = told(io("received corrupt message of type InvalidContentType"), &[]);
        assert!(!plain.transient && plain.hints[0].contains("http://"), "{plain}");
        assert!(told(io("HTTP connect timeout occurred after 3s"), &[]).hints[0].contains("NAT"));
    }

    #[test]
    fn a_proxy_on_the_way_is_named() {
        let error =
            told(io::Error::from_raw_os_error(111), &[("HTTPS_PROXY", "http://user:pass@proxy:3128")]);
        assert!(
            error.hints[1].contains("HTTPS_PROXY") && error.hints[1].contains("s3.test to NO_PROXY"),
            "{error}"
        );
        assert!(!error.to_string().contains("pass"));
    }
}
