//! Just enough of an address to judge it: scheme, host, port. PURE. Requests themselves are built by the SDK.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An `http` or `https` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub tls: bool,
    /// Lower case, without brackets.
    pub host: String,
    pub port: Option<u16>,
}

/// Where ECS (169.254.170.2) and EKS (169.254.170.23, fd00:ec2::23) serve credentials; aws-sdk's own list.
const CONTAINER_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 170, 2), Ipv4Addr::new(169, 254, 170, 23)];
const CONTAINER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);

impl Url {
    /// Why `text` is no address is told in words that fit after "it ".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("has no scheme: write http:// or https://")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("must begin with http:// or https://"),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("must not hold a user name or password");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or("has no closing bracket")?,
            None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("has no host");
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some(digits) => Some(digits.parse().map_err(|_| "has no valid port")?),
            None => return Err("has no valid port"),
        };
        Ok(Self { tls, host: host.to_ascii_lowercase(), port })
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// This machine, or the platform's own credential service: where plain HTTP may carry credentials, and
    /// what no proxy can reach.
    pub fn is_local(&self) -> bool {
        match self.ip() {
            Some(IpAddr::V4(ip)) => ip.is_loopback() || CONTAINER_V4.contains(&ip),
            Some(IpAddr::V6(ip)) => ip.is_loopback() || ip == CONTAINER_V6,
            None => self.host == "localhost",
        }
    }

    /// One of AWS's own endpoints, which serve every bucket under a name of its own.
    pub fn is_aws(&self) -> bool {
        [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|suffix| self.host.ends_with(suffix))
    }

    /// `host` or `host:port`, for people.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        self.port.map_or(host.clone(), |port| format!("{host}:{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn parts() {
        let parsed = url("HTTP://MinIO:9000/x?y");
        assert_eq!((parsed.tls, parsed.host.as_str(), parsed.port), (false, "minio", Some(9000)));
        assert_eq!(url("https://[::1]:8443/").authority(), "[::1]:8443");
        assert_eq!(url("https://s3.eu-west-1.amazonaws.com").authority(), "s3.eu-west-1.amazonaws.com");
    }

    #[test]
    fn mistakes() {
        for text in
            ["minio:9000", "ftp://x", "http://", "http://:80", "http://x:y", "http://u:p@x", "http://[::1"]
        {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn who_may_hear_credentials_in_clear() {
        for text in [
            "http://127.0.0.1:1/x",
            "http://localhost",
            "http://[::1]",
            "http://169.254.170.2/v2",
            "http://169.254.170.23",
            "http://[fd00:ec2::23]/x",
        ] {
            assert!(url(text).is_local(), "{text}");
        }
        for text in ["http://169.254.169.254", "http://10.0.0.1", "http://localhost.example.com"] {
            assert!(!url(text).is_local(), "{text}");
        }
        assert!(url("https://s3.dualstack.eu-west-1.amazonaws.com").is_aws());
        assert!(!url("https://amazonaws.com.example").is_aws());
    }
}
