//! Checks of single values that their types cannot make: `None` is "right", else the complaint.

use crate::config::plan::source::Source;
use crate::schedule::Schedule;

/// The grammar of names of services, cron entries, boot steps: they stand in log lines and on command lines.
pub fn name(name: &str) -> Option<String> {
    let fine = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 64;
    (!fine).then(|| "a name has letters, digits, \"-\", \"_\" and \".\", begins with a letter or digit, and has at most 64 of them".to_owned())
}

/// The grammar of names of environment variables. PHP and FPM take more than POSIX, so only what cannot work is refused.
pub fn variable(name: &str) -> Option<String> {
    let wrong = name.is_empty() || name.contains(['=', '\0']) || name.contains(char::is_whitespace);
    wrong.then(|| format!("{name:?} cannot be the name of a variable"))
}

/// `name`, `name:group`, or numeric ids.
pub fn user(user: &str) -> Option<String> {
    let part =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == ':' || c == '/');
    let fine = match user.split_once(':') {
        Some((user, group)) => part(user) && part(group),
        None => part(user),
    };
    (!fine).then(|| "a user is a name, name:group, or numeric ids such as \"33:33\"".to_owned())
}

/// `host:port`.
pub fn host_port(address: &str) -> Option<String> {
    let fine = address.rsplit_once(':').is_some_and(|(host, port)| {
        let port = port.parse::<u16>().is_ok_and(|port| port > 0);
        let bracketed = host.starts_with('[') && host.ends_with(']');
        port && !host.is_empty() && (bracketed || !host.contains([':', '/', ' ']))
    });
    (!fine).then(|| "an address is host:port, such as \"127.0.0.1:9000\" or \"[::1]:9000\"".to_owned())
}

/// `host:port` or the path of a unix socket.
pub fn address(address: &str) -> Option<String> {
    if address.starts_with('/') { socket_path(address) } else { host_port(address) }
}

/// The path of a unix socket: `sun_path` has 108 bytes with its NUL, see unix(7).
pub fn socket_path(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        return Some("the path of a socket begins with \"/\"".to_owned());
    }
    (path.len() > 107).then(|| format!("the path of a socket has at most 107 bytes, this one {}", path.len()))
}

/// Whether one path lies below another is decided by their components (the files of `state-dir` are treated otherwise
/// than others), which ".." would circumvent. It cannot be resolved here: after a symbolic link it means another directory.
pub fn no_parent(path: &str) -> Option<String> {
    path.split('/').any(|part| part == "..").then(|| "a path has no \"..\": write where it leads".to_owned())
}

/// The notations of a source, as `init fetch` reads them.
pub fn source(source: &str) -> Option<String> {
    Source::read(source).err().map(|error| error.to_string())
}

/// Whether a crontab expression and a time zone are valid; otherwise the complaint, and the byte column in `text`
/// unless it is about the zone.
pub fn check_schedule(text: &str, zone: Option<&str>) -> Result<(), (Option<usize>, String)> {
    match Schedule::parse(text, zone) {
        Ok(_) => Ok(()),
        Err(error) => Err((error.column().map(|column| column.saturating_sub(1)), error.problem())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        for text in [
            "s3://bucket/k",
            "arn:aws:s3:eu-central-1:123456789012:accesspoint/config/object/.env",
            "s3://arn:aws:s3:eu-central-1:123456789012:accesspoint/config/.env",
            "s3://bucket.with.dots/a/b/.env?versionId=3",
            "arn:aws:s3:::bucket/k.env",
            "arn:aws-cn:s3:::bucket/k",
            "file:///etc/x",
            "/etc/x",
            "self-signed:localhost,*.example.com",
        ] {
            assert_eq!(source(text), None, "{text}");
        }
        for text in [
            "",
            "s3://b",
            "s3://bucket/",
            "s3://b/key",
            "arn:aws:s3:::accesspoint/config/object/.env",
            "arn:aws:s3:eu-central-1:123456789012:accesspoint/config",
            "s3:///k",
            "arn:aws:s3:::b",
            "arn:aws:sqs:::b/k",
            "file://x",
            "conf/.env",
            "s3:/b/k",
            "https://x/y",
            "x/",
            "self-signed:",
            "self-signed:a b",
        ] {
            assert!(source(text).is_some(), "{text}");
        }
    }

    #[test]
    fn addresses_users_and_names() {
        for text in ["127.0.0.1:9000", "localhost:1", "[::1]:9000"] {
            assert_eq!(host_port(text), None, "{text}");
        }
        for text in ["9000", ":9000", "host:0", "host:99999", "::1:9000", "host:"] {
            assert!(host_port(text).is_some(), "{text}");
        }
        for text in ["www-data", "33", "33:33", "app:app"] {
            assert_eq!(user(text), None, "{text}");
        }
        for text in ["", ":x", "x:", "a b", "a:b:c", "a/b"] {
            assert!(user(text).is_some(), "{text}");
        }
        assert!(
            name("php-fpm_8.2").is_none()
                && name("a:b").is_some()
                && name("-a").is_some()
                && name("").is_some()
        );
        assert!(socket_path("/run/a.sock").is_none() && socket_path("a").is_some());
        assert!(socket_path(&format!("/{}", "x".repeat(107))).is_some());
    }
}
