//! Where to connect: an IP address or `localhost` with a port, or the path of a socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// What can be connected to without asking a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// In the order to try them.
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

/// Text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl std::error::Error for AddressError {}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot use {:?} as an address: give an IP address or localhost with a port, or the path of a socket",
            self.0
        )
    }
}

impl Address {
    /// Reads `127.0.0.1:9000`, `[::1]:9000`, `localhost:9000`, and `9000` as php-fpm's `listen` takes it (any address of
    /// this host, so loopback will do); `/run/php.sock` and nginx's `unix:/run/php.sock`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(vec![address]));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
        match port.parse() {
            Ok(port) if port != 0 && host.eq_ignore_ascii_case("localhost") => {
                let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                Ok(Self::Tcp(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec()))
            }
            _ => Err(AddressError(text.to_owned())),
        }
    }
}

/// `127.0.0.1:9000` or `/run/php.sock`: the first one that is tried.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addresses) => addresses.first().map_or(Ok(()), |address| address.fmt(f)),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_resolver() {
        let tcp = |list: &[&str]| Ok(Address::Tcp(list.iter().map(|text| text.parse().unwrap()).collect()));
        assert_eq!(Address::parse("127.0.0.1:9000"), tcp(&["127.0.0.1:9000"]));
        assert_eq!(Address::parse("[::1]:80"), tcp(&["[::1]:80"]));
        assert_eq!(Address::parse("LocalHost:9000"), tcp(&["127.0.0.1:9000", "[::1]:9000"]));
        assert_eq!(Address::parse("9000"), tcp(&["127.0.0.1:9000", "[::1]:9000"]));
        assert_eq!(Address::parse("/run/x.sock"), Ok(Address::Unix("/run/x.sock".into())));
        assert_eq!(Address::parse("unix:/run/x.sock"), Ok(Address::Unix("/run/x.sock".into())));
        for bad in
            ["", "php:9000", "localhost", "localhost:", "localhost:0", "localhost:65536", "unix:x", "::1"]
        {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_refused_with_what_to_give_instead() {
        assert_eq!(
            Address::parse("php:9000").unwrap_err().to_string(),
            "cannot use \"php:9000\" as an address: give an IP address or localhost with a port, or the path of a socket"
        );
    }
}
