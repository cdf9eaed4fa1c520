//! `ready` and `live` of `[service.NAME]`.

use super::build::Builder;
use super::check;
use super::service::PING_PATH;
use crate::config::plan::{FpmPlan, LivePlan, ProbePlan, ReadyPlan, WarmUpPlan};
use crate::config::schema;
use crate::config::tree::Loc;
use crate::config::values::{At, Codes, Command, Count};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What the schema names as the defaults of `warm-up`.
const BUDGET: Duration = Duration::from_secs(10);
const PARALLEL: u16 = 4;
const MOST_PARALLEL: u16 = crate::config::schema::MOST_PARALLEL;
/// The name of the script in the state directory.
const WARM_UP_SCRIPT: &str = "warm-up.php";

const STATUS: RangeInclusive<u16> = 200..=399;
const DESCRIPTORS: RangeInclusive<u16> = 3..=255;
const MOST_ATTEMPTS: u32 = 1000;

/// What both tables say of the probe itself.
#[derive(Default)]
struct Given {
    fastcgi: Option<At<String>>,
    path: Option<At<String>>,
    tcp: Option<At<String>>,
    unix: Option<At<String>>,
    http: Option<At<String>>,
    status: Option<At<Codes>>,
    host: Option<At<String>>,
    command: Option<At<Command>>,
    notify: bool,
    notify_fd: Option<At<Count<3, 255>>>,
}

pub fn ready(
    builder: &mut Builder<'_>,
    loc: Loc,
    given: schema::Ready,
    fpm: Option<&FpmPlan>,
) -> Option<ReadyPlan> {
    let probe = Given {
        fastcgi: given.fastcgi,
        path: given.path,
        tcp: given.tcp,
        unix: given.unix,
        http: given.http,
        status: given.status,
        host: given.host,
        command: given.command,
        notify: given.notify.is_some(),
        notify_fd: given.notify_fd,
    };
    let kinds = "fastcgi, tcp, unix, http, command, notify and notify-fd";
    let probe = one_of(builder, loc, "ready", kinds, probe, fpm);
    Some(ReadyPlan {
        interval: builder.above_zero(given.interval, Duration::from_millis(50)),
        timeout: builder.above_zero(given.timeout, Duration::from_secs(1)),
        deadline: builder.above_zero(given.deadline, Duration::from_secs(30)),
        successes: attempts(builder, given.successes, 1),
        probe: probe?,
        warm_up: None,
    })
}

/// The warm-up of a service that becomes ready as `ready` says.
pub fn warm_up(
    builder: &mut Builder<'_>,
    loc: Loc,
    given: schema::WarmUp,
    ready: Option<&ReadyPlan>,
) -> Option<WarmUpPlan> {
    if !ready.is_some_and(|ready| matches!(ready.probe, ProbePlan::FastCgi { .. })) {
        let text = "a warm-up is done over FastCGI: it needs ready = { fastcgi = \"host:port or socket\" }";
        builder.error(loc, text);
    }
    if given.paths.as_ref().is_none_or(Vec::is_empty) {
        builder.missing(loc, "warm-up has no paths: say which files and directories to compile".into());
    }
    let work_dir = builder.paths.work_dir.clone();
    let parallel = given.parallel.as_ref().map_or(PARALLEL, |at| at.value.0);
    if let Some(at) = given.parallel.filter(|at| at.value.0 == 0) {
        builder.error(at.loc, format!("parallel is 1 to {MOST_PARALLEL}"));
    }
    Some(WarmUpPlan {
        paths: builder.paths(given.paths, &work_dir),
        exclude: builder.paths(given.exclude, &work_dir),
        budget: builder.above_zero(given.budget, BUDGET),
        parallel,
        script: builder.paths.state_dir.join(WARM_UP_SCRIPT),
    })
}

pub fn live(
    builder: &mut Builder<'_>,
    loc: Loc,
    given: schema::Live,
    fpm: Option<&FpmPlan>,
) -> Option<LivePlan> {
    let probe = Given {
        fastcgi: given.fastcgi,
        path: given.path,
        tcp: given.tcp,
        unix: given.unix,
        http: given.http,
        status: given.status,
        host: given.host,
        command: given.command,
        notify: given.notify.is_some(),
        notify_fd: None,
    };
    let probe = one_of(builder, loc, "live", "fastcgi, tcp, unix, http, command and notify", probe, fpm);
    Some(LivePlan {
        interval: builder.above_zero(given.interval, Duration::from_secs(10)),
        timeout: builder.above_zero(given.timeout, Duration::from_secs(5)),
        failures: attempts(builder, given.failures, 3),
        successes: attempts(builder, given.successes, 1),
        probe: probe?,
    })
}

fn attempts(builder: &mut Builder<'_>, given: Option<At<u32>>, default: u32) -> u32 {
    let Some(given) = given else { return default };
    if !(1..=MOST_ATTEMPTS).contains(&given.value) {
        let text =
            format!("{} is 1 to {MOST_ATTEMPTS}, so many attempts in a row", builder.subject(given.loc));
        builder.error(given.loc, text);
    }
    given.value
}

/// The probe, where exactly one kind is given.
fn one_of(
    builder: &mut Builder<'_>,
    loc: Loc,
    table: &str,
    kinds: &str,
    given: Given,
    fpm: Option<&FpmPlan>,
) -> Option<ProbePlan> {
    let count = [
        given.fastcgi.is_some(),
        given.tcp.is_some(),
        given.unix.is_some(),
        given.http.is_some(),
        given.command.is_some(),
        given.notify,
        given.notify_fd.is_some(),
    ];
    match count.iter().filter(|given| **given).count() {
        0 => builder.missing(loc, format!("{table} needs one of {kinds}")),
        1 => return companions(builder, given, fpm),
        _ => builder.error(loc, format!("{table} takes one of {kinds}, not several")),
    }
    None
}

/// The probe with the keys that belong to its kind; those of another kind are refused.
fn companions(builder: &mut Builder<'_>, given: Given, fpm: Option<&FpmPlan>) -> Option<ProbePlan> {
    if let Some(path) = given.path.as_ref().filter(|path| !path.value.starts_with('/')) {
        builder.error(path.loc, "path begins with \"/\"");
    }
    if let Some(path) = given.path.as_ref().filter(|_| given.fastcgi.is_none()) {
        let instead = if given.http.is_some() { ": that of http is in its URL" } else { " alone" };
        builder.error(path.loc, format!("path belongs to fastcgi{instead}"));
    }
    let of_http =
        [("status", given.status.as_ref().map(|at| at.loc)), ("host", given.host.as_ref().map(|at| at.loc))];
    for (key, loc) in of_http {
        if let Some(loc) = loc.filter(|_| given.http.is_none()) {
            builder.error(loc, format!("{key} belongs to http alone"));
        }
    }
    if let Some(address) = given.fastcgi {
        builder.check(address.loc, check::address(&address.value));
        let ping = || fpm.map_or(PING_PATH.to_owned(), |fpm| fpm.ping_path.clone());
        return Some(ProbePlan::FastCgi {
            address: address.value,
            path: given.path.map_or_else(ping, |at| at.value),
        });
    }
    if let Some(address) = given.tcp {
        builder.check(address.loc, check::host_port(&address.value));
        return Some(ProbePlan::Tcp { address: address.value });
    }
    if let Some(path) = given.unix {
        builder.check(path.loc, check::socket_path(&path.value));
        return Some(ProbePlan::Unix { path: path.value.into() });
    }
    if let Some(url) = given.http {
        return http(builder, &url, given.host, given.status);
    }
    if let Some(At { value: Command(command), .. }) = given.command {
        return Some(ProbePlan::Command { command });
    }
    if let Some(fd) = given.notify_fd {
        if !DESCRIPTORS.contains(&fd.value.0) {
            let (least, most) = (DESCRIPTORS.start(), DESCRIPTORS.end());
            builder
                .error(fd.loc, format!("notify-fd is {least} to {most}: below are stdin, stdout and stderr"));
        }
        return Some(ProbePlan::NotifyFd { fd: fd.value.0 });
    }
    Some(ProbePlan::Notify)
}

fn http(
    builder: &mut Builder<'_>,
    url: &At<String>,
    host: Option<At<String>>,
    status: Option<At<Codes>>,
) -> Option<ProbePlan> {
    if let Some(host) = host.as_ref().filter(|host| !is_token(&host.value)) {
        builder.error(host.loc, "host is a name, as a browser would send it: no spaces, no line ends");
    }
    if builder.is_open(&url.value) {
        let (address, host) = (url.value.clone(), host.map(|at| at.value).unwrap_or_default());
        let status = status.map_or_else(|| vec![STATUS], |at| at.value.0);
        return Some(ProbePlan::Http { address, path: String::new(), host, status });
    }
    match split_url(&url.value) {
        Err(complaint) => {
            builder.error(url.loc, complaint);
            None
        }
        Ok((address, own_host, path)) => Some(ProbePlan::Http {
            address,
            path,
            host: host.map_or(own_host, |at| at.value),
            status: status.map_or_else(|| vec![STATUS], |at| at.value.0),
        }),
    }
}

/// Something of it goes into a request as it is.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic())
}

/// Address, host and path of a URL.
fn split_url(url: &str) -> Result<(String, String, String), String> {
    const SHAPE: &str = "write http://127.0.0.1:8080/health or http://unix:/run/app.sock:/health";
    if url.starts_with("https://") {
        return Err(
            "https is not spoken: ask the plain port that is behind it in this container, or use command"
                .into(),
        );
    }
    let Some(rest) = url.strip_prefix("http://") else { return Err(format!("this is no http URL: {SHAPE}")) };
    if !is_token(rest) || rest.contains(['#', '@']) {
        return Err(format!("spaces, \"@\" and \"#\" cannot be in the URL of a probe: {SHAPE}"));
    }
    if let Some(socket) = rest.strip_prefix("unix:") {
        // As in nginx's proxy_pass: the socket ends at a colon, and everything after it is the path.
        let (socket, path) = socket.split_once(':').unwrap_or((socket, "/"));
        if let Some(complaint) = check::socket_path(socket) {
            return Err(complaint);
        }
        if !path.starts_with('/') {
            return Err(format!("the path after the socket begins with \"/\": {SHAPE}"));
        }
        return Ok((socket.to_owned(), "localhost".to_owned(), path.to_owned()));
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    if let Some(complaint) = check::host_port(&address) {
        return Err(format!("{complaint}; {SHAPE}"));
    }
    let host = address.rsplit_once(':').map_or("", |(host, _)| host);
    let is_ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    if !is_ip && !host.eq_ignore_ascii_case("localhost") {
        return Err("no names are resolved: give localhost or an IP address, and the name as host".into());
    }
    Ok((address, authority.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, address, host, path) in [
            ("http://127.0.0.1:8080/health", "127.0.0.1:8080", "127.0.0.1:8080", "/health"),
            ("http://localhost", "localhost:80", "localhost", "/"),
            ("http://[::1]/x", "[::1]:80", "[::1]", "/x"),
            ("http://[::1]:81?a=b:c", "[::1]:81", "[::1]:81", "/?a=b:c"),
            ("http://unix:/run/a.sock:/x?y", "/run/a.sock", "localhost", "/x?y"),
            ("http://unix:/run/a.sock", "/run/a.sock", "localhost", "/"),
        ] {
            let wanted = (address.to_owned(), host.to_owned(), path.to_owned());
            assert_eq!(split_url(url), Ok(wanted), "{url}");
        }
        for url in [
            "127.0.0.1:8080",
            "https://127.0.0.1/",
            "http://",
            "http:///x",
            "http://app.example/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:x/",
            "http://u:p@127.0.0.1/",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/a\r\nX: y",
            "http://unix:run/a.sock:/x",
            "http://unix:/run/a.sock:x",
        ] {
            assert!(split_url(url).is_err(), "{url}");
        }
    }
}
