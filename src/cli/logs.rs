//! `init logs` and `init events`: what services have written and what init has done, as it is remembered and as it comes.

use super::control::unwritable;
use super::look::{Ink, Look, coloured, harmless};
use super::remote::{Done, Io, Lookup, Remote};
use super::{local_zone, say};
use crate::control::client::Connection;
use crate::control::protocol::{EventLine, LogLine, Reply, Request};
use crate::exit;
use crate::sys::local::{Woken, wait};
use jiff::tz::TimeZone;
use std::os::fd::AsFd as _;

/// How many lines without `-n`.
const LINES: u32 = 100;

/// `init logs`.
pub fn logs(remote: &Remote, io: &mut Io<'_>) -> Done {
    let names = remote.line.words.clone();
    let (lines, follow) = extent(remote).map_err(|why| remote.usage(&why, io))?;
    let look = io.look;
    let mut margin = 0;
    let request = Request::Logs { names, lines, follow };
    stream(remote, &request, follow, io, &mut |reply| match reply {
        Reply::Log(line) => Some(log_line(&line, &look, &mut margin)),
        _ => None,
    })
}

/// `init events`.
pub fn events(remote: &Remote, env: Lookup<'_>, io: &mut Io<'_>) -> Done {
    let (lines, follow) = extent(remote).map_err(|why| remote.usage(&why, io))?;
    let (look, json, zone) = (io.look, remote.line.has("json"), local_zone(env));
    stream(remote, &Request::Events { lines, follow }, follow, io, &mut |reply| match reply {
        Reply::Event(event) if json => serde_json::to_string(&event).ok(),
        Reply::Event(event) => Some(event_line(&event, &look, &zone)),
        _ => None,
    })
}

fn extent(remote: &Remote) -> Result<(u32, bool), String> {
    let lines = match remote.line.value("lines") {
        Some(text) => text.parse().map_err(|_| format!("--lines {text:?} is not a number of lines"))?,
        None => LINES,
    };
    Ok((lines, remote.line.has("follow")))
}

/// Shows each line as it comes, until the end, or until nobody reads it any more.
fn stream(
    remote: &Remote,
    request: &Request,
    follow: bool,
    io: &mut Io<'_>,
    show: &mut dyn FnMut(Reply) -> Option<String>,
) -> Done {
    let asked = if follow { remote.ask_patiently(request) } else { remote.ask(request) };
    let mut connection = asked.map_err(|error| remote.fail(&error, io))?;
    loop {
        let (text, ended) = batch(remote, &mut connection, io, show)?;
        if let Err(error) = io.out.write_all(text.as_bytes()).and_then(|()| io.out.flush()) {
            return unwritable(&error);
        }
        if ended {
            return Ok(exit::OK);
        }
        if !follow {
            // A pager takes its time, which is not init's.
            connection.renew();
        }
        // A reader that goes while nothing is written is noticed all the same.
        let stdout = std::io::stdout();
        if follow && matches!(wait(Some(connection.fd()), stdout.as_fd(), None), Ok(Woken::ReaderGone)) {
            return Ok(exit::OK);
        }
        match connection.fill() {
            Ok(true) => {}
            Ok(false) if follow => {
                say(io.err, format_args!("init {}: init has closed the connection", remote.command.name));
                return Ok(exit::OK);
            }
            Ok(false) => {
                return Err(
                    remote.fail(&crate::control::client::ClientError::Closed(remote.socket.clone()), io)
                );
            }
            Err(error) => return Err(remote.fail(&error, io)),
        }
    }
}

/// The lines that are here, and whether they are the last.
fn batch(
    remote: &Remote,
    connection: &mut Connection,
    io: &mut Io<'_>,
    show: &mut dyn FnMut(Reply) -> Option<String>,
) -> Result<(String, bool), super::remote::Failed> {
    let mut text = String::new();
    while let Some(reply) = connection.received().map_err(|error| remote.fail(&error, io))? {
        match reply {
            Reply::End => return Ok((text, true)),
            Reply::Progress { text } => say(io.err, format_args!("{}", harmless(&text))),
            reply => match show(reply) {
                Some(line) => {
                    text.push_str(&line);
                    text.push('\n');
                }
                None => return Err(remote.surprised(io)),
            },
        }
    }
    Ok((text, false))
}

/// `queue:1 | text`, the names as wide as the widest so far. Only a terminal has to be spared its text.
fn log_line(line: &LogLine, look: &Look, margin: &mut usize) -> String {
    let name = harmless(&line.name);
    *margin = name.chars().count().max(*margin).min(32);
    let bar = if look.unicode && look.terminal { "│" } else { "|" };
    let ink = if line.stream == "stderr" { Ink::Busy } else { Ink::Accent };
    let text = if look.terminal { coloured(&line.text) } else { line.text.as_str().into() };
    format!("{} {text}", look.paint(ink, &format!("{name:<width$} {bar}", width = *margin)))
}

fn event_line(event: &EventLine, look: &Look, zone: &TimeZone) -> String {
    let at = jiff::Timestamp::from_millisecond(event.at_ms).unwrap_or_default().to_zoned(zone.clone());
    let at = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let severity = harmless(&event.severity);
    let ink = match event.severity.as_str() {
        "error" => Ink::Bad,
        "warn" => Ink::Busy,
        _ => Ink::Faint,
    };
    let name = event.name.as_deref().unwrap_or("init");
    format!(
        "{}  {}  {}: {}",
        look.paint(Ink::Faint, &at),
        look.paint(ink, &format!("{severity:<5}")),
        look.paint(Ink::Name, &harmless(name)),
        harmless(&event.text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_aligned_and_a_terminal_is_spared() {
        let line = |name: &str, text: &str| LogLine {
            name: name.into(),
            stream: "stdout".into(),
            text: text.into(),
            ..LogLine::default()
        };
        let mut margin = 0;
        let mut show = |name: &str, text: &str, look: &Look| log_line(&line(name, text), look, &mut margin);
        assert_eq!(show("queue:1", "a\u{1b}[2J", &Look::PLAIN), "queue:1 | a\u{1b}[2J");
        assert_eq!(show("web", "b", &Look::PLAIN), "web     | b");
        let terminal = Look { terminal: true, ..Look::PLAIN };
        assert_eq!(show("w\n", "a\u{1b}[2J\tb", &terminal), "w\\n     │ a\\x1b[2J\tb");
    }

    #[test]
    fn an_event_tells_when_how_bad_and_who() {
        let event = EventLine {
            at_ms: 1_795_303_680_123,
            severity: "warn".into(),
            name: Some("queue:1".into()),
            text: "exited 1\u{1b}".into(),
        };
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(
            event_line(&event, &Look::PLAIN, &zone),
            "2026-11-22 00:28:00  warn   queue:1: exited 1\\x1b"
        );
    }
}
