//! `init status`: the state of everything, once or again and again, or the boot as a picture.

pub mod table;
#[cfg(test)]
mod table_tests;

use super::control::unwritable;
use super::remote::{Done, Failed, Io, Lookup, Remote, duration};
use super::{local_zone, timeline};
use crate::config::suggest;
use crate::control::client::ClientError;
use crate::control::protocol::{Phase, Reply, Request, Service, Status, Timeline};
use crate::exit;
use crate::sys::clock;
use crate::sys::local::{Woken, wait};
use jiff::tz::TimeZone;
use std::os::fd::AsFd as _;
use std::time::Duration;
use table::Moment;

/// Asks, and shows it.
pub fn run(remote: &Remote, env: Lookup<'_>, io: &mut Io<'_>) -> Done {
    let line = &remote.line;
    let drawn = line.has("timeline") || line.has("svg");
    let clash = [("json", "svg"), ("watch", "svg"), ("watch", "timeline")];
    if let Some((one, other)) = clash.iter().find(|(one, other)| line.has(one) && line.has(other)) {
        return Err(remote.usage(&format!("--{one} and --{other} do not go together"), io));
    }
    if drawn && !line.words.is_empty() {
        return Err(remote.usage("the timeline is of the whole boot: name no services", io));
    }
    match (drawn, line.has("watch")) {
        (true, _) => timeline::run(remote, io),
        (false, true) => watch(remote, env, io),
        (false, false) => {
            let status = fetch(remote).map_err(|why| why.show(remote, io))?;
            let text = page(&status, remote, &local_zone(env), io);
            match io.out.write_all(text.as_bytes()).and_then(|()| io.out.flush()) {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => unwritable(&error),
                _ => Ok(code(&status)),
            }
        }
    }
}

/// Why there is nothing to show.
enum Nothing {
    Client(ClientError),
    /// There is nothing of this name.
    Name(String),
    Surprise,
}

impl Nothing {
    fn show(self, remote: &Remote, io: &mut Io<'_>) -> Failed {
        match self {
            Self::Client(error) => remote.fail(&error, io),
            Self::Name(why) => {
                super::say(io.err, format_args!("init status: {why}"));
                Failed(exit::USAGE)
            }
            Self::Surprise => remote.surprised(io),
        }
    }
}

/// The status, of what was named alone.
fn fetch(remote: &Remote) -> Result<Status, Nothing> {
    match remote.answer(&Request::Status).map_err(Nothing::Client)? {
        Reply::Status(mut status) => {
            choose(&mut status, &remote.line.words).map_err(Nothing::Name)?;
            Ok(*status)
        }
        _ => Err(Nothing::Surprise),
    }
}

/// The boot, and the status it belongs to.
pub fn fetch_timeline(remote: &Remote, io: &mut Io<'_>) -> Result<(Timeline, Status), Failed> {
    let status = fetch(remote).map_err(|why| why.show(remote, io))?;
    match remote.answer(&Request::Timeline).map_err(|error| remote.fail(&error, io))? {
        Reply::Timeline(timeline) => Ok((timeline, status)),
        _ => Err(remote.surprised(io)),
    }
}

fn choose(status: &mut Status, names: &[String]) -> Result<(), String> {
    let asked = |name: &str, service: &str| {
        names.is_empty() || names.iter().any(|word| word == name || word == service || word == "all")
    };
    let known: Vec<String> = status
        .services
        .iter()
        .flat_map(|service| [service.name.clone(), service.service.clone()])
        .chain(status.crons.iter().map(|cron| cron.name.clone()))
        .chain(["all".to_owned()])
        .collect();
    if let Some(wrong) = names.iter().find(|name| !known.contains(name)) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let near = suggest::nearest(wrong, &known);
        let hint = near.map(|near| format!(": did you mean \"{near}\"?")).unwrap_or_default();
        return Err(format!("cannot find the service or cron entry {wrong:?}{hint}"));
    }
    status.services.retain(|service| asked(&service.name, &service.service));
    status.crons.retain(|cron| asked(&cron.name, &cron.name));
    Ok(())
}

/// The whole output of one look.
fn page(status: &Status, remote: &Remote, zone: &TimeZone, io: &Io<'_>) -> String {
    if remote.line.has("json") {
        // It is data of ours: it can be written.
        return serde_json::to_string(status).map(|text| text + "\n").unwrap_or_default();
    }
    let moment = Moment { now_ms: now_ms(), zone: zone.clone() };
    table::render(status, !remote.line.words.is_empty(), &io.look, &moment)
}

fn now_ms() -> i64 {
    i64::try_from(clock::wall().saturating_div(1_000_000)).unwrap_or_default()
}

/// As supervisorctl: 0 when everything that should run does, 3 when something does not.
pub fn code(status: &Status) -> u8 {
    let under_way = matches!(status.phase, Phase::Booting | Phase::Stopping);
    if under_way || status.services.iter().any(is_down) { exit::NOT_RUNNING } else { exit::OK }
}

/// It should run, or have done its work, and has not.
fn is_down(service: &Service) -> bool {
    let did = |words: &String| words.starts_with("exited 0 ");
    match service.state.as_str() {
        "RUNNING" => false,
        "EXITED" => service.last_exit.as_ref().is_some_and(|words| !did(words)),
        // A worker that ended while it was paused stays down until it is resumed.
        _ => service.wanted && !service.paused,
    }
}

/// Again and again, until nobody looks any more.
fn watch(remote: &Remote, env: Lookup<'_>, io: &mut Io<'_>) -> Done {
    let interval =
        duration(&remote.line, "interval", Duration::from_secs(1)).map_err(|why| remote.usage(&why, io))?;
    let zone = local_zone(env);
    let mut first = true;
    loop {
        // The window may have been changed.
        if io.look.terminal {
            io.look = super::look::Look::of_stdout(env);
        }
        let text = match fetch(remote) {
            Ok(status) => page(&status, remote, &zone, io),
            // It may only be slow; but what is not there at first, or has gone, does not come back.
            Err(Nothing::Client(error)) if !first && !error.is_gone() => {
                format!("init status: {}\n", remote.explain(&error))
            }
            Err(why) => return Err(why.show(remote, io)),
        };
        let text = match (io.look.terminal && !remote.line.has("json"), first || remote.line.has("json")) {
            (true, _) => frame(&text, first, io.look.height),
            (false, true) => text,
            (false, false) => format!("\n{text}"),
        };
        first = false;
        if let Err(error) = io.out.write_all(text.as_bytes()).and_then(|()| io.out.flush()) {
            return unwritable(&error);
        }
        match wait(None, std::io::stdout().as_fd(), Some(interval)) {
            Ok(Woken::ReaderGone) => return Ok(exit::OK),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return unwritable(&error),
        }
    }
}

/// The text over the one before, line by line, so that nothing flickers; no more of it than there are rows.
fn frame(text: &str, first: bool, height: Option<usize>) -> String {
    let mut out = String::from(if first { "\u{1b}[H\u{1b}[2J" } else { "\u{1b}[H" });
    let rows = height.unwrap_or(usize::MAX).saturating_sub(1).max(2);
    let lines: Vec<&str> = text.lines().collect();
    let fits = lines.len() <= rows;
    let shown = if fits { rows } else { rows.saturating_sub(1) };
    for line in lines.iter().take(shown) {
        out.push_str(line);
        out.push_str("\u{1b}[K\n");
    }
    if !fits {
        let hidden = lines.len().saturating_sub(shown);
        out.push_str(&format!("({hidden} lines more than the window has)\u{1b}[K\n"));
    }
    out.push_str("\u{1b}[J");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, state: &str, wanted: bool, last: Option<&str>) -> Service {
        Service {
            name: name.into(),
            service: name.split(':').next().unwrap().into(),
            state: state.into(),
            wanted,
            last_exit: last.map(str::to_owned),
            ..Service::default()
        }
    }

    #[test]
    fn three_is_for_what_should_run_and_does_not() {
        let of = |service| Status { phase: Phase::Running, services: vec![service], ..Status::default() };
        for (state, wanted, last, expected) in [
            ("RUNNING", true, None, 0),
            ("STOPPED", false, Some("killed by SIGTERM after 3s"), 0),
            ("STOPPED", true, None, 3),
            ("BACKOFF", true, Some("exited 1 after 3s"), 3),
            ("STARTING", true, None, 3),
            ("FATAL", true, None, 3),
            ("EXITED", true, Some("exited 0 after 3s"), 0),
            ("EXITED", true, Some("exited 1 after 3s"), 3),
        ] {
            assert_eq!(code(&of(service("a", state, wanted, last))), expected, "{state} {wanted} {last:?}");
        }
        assert_eq!(code(&Status { phase: Phase::Booting, ..Status::default() }), 3);
    }

    #[test]
    fn names_choose_and_unknown_ones_are_told() {
        let all = ["web", "queue:0", "queue:1"].map(|name| service(name, "RUNNING", true, None));
        let status = Status { services: all.to_vec(), ..Status::default() };
        let chosen = |names: &[&str]| {
            let mut status = status.clone();
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            choose(&mut status, &names)?;
            Ok::<_, String>(status.services.into_iter().map(|service| service.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&["queue"]).unwrap(), ["queue:0", "queue:1"]);
        assert_eq!(chosen(&["queue:1", "web"]).unwrap(), ["web", "queue:1"]);
        assert_eq!(chosen(&["all"]).unwrap().len(), 3);
        assert!(chosen(&["queu"]).unwrap_err().contains("did you mean \"queue\"?"));
    }

    #[test]
    fn a_frame_erases_the_one_before_and_never_scrolls() {
        assert_eq!(frame("a\nb\n", false, Some(24)), "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\n\u{1b}[J");
        let tall = frame("1\n2\n3\n4\n5\n", true, Some(4));
        assert!(tall.starts_with("\u{1b}[H\u{1b}[2J1"), "{tall:?}");
        assert!(
            tall.contains("(3 lines more") && !tall.contains("\n3") && tall.matches('\n').count() < 4,
            "{tall:?}"
        );
    }
}
