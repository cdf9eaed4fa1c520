//! The table of `init status`, as supervisorctl's: name, state, and the rest in words.
//!
//! What init says is shown, never obeyed: every text of it goes through [`harmless`].

use crate::cli::look::{Ink, Look, harmless};
use crate::control::protocol::{Cron, Phase, Service, Status};
use crate::supervisor::words::{Words, counted};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Names wider than this push their own line to the right, and no other.
const WIDEST_NAME: usize = 28;
/// `STARTING` and `STOPPING` are the longest states.
const STATE: usize = 8;
/// Fewer columns for the words than this, and they go below the name instead.
const NARROW: usize = 30;

/// When it is, and where.
pub struct Moment {
    pub now_ms: i64,
    pub zone: TimeZone,
}

/// One line of the table: what is said in words may take more.
struct Row {
    name: String,
    state: String,
    ink: Ink,
    /// With the colours of those that deserve one.
    parts: Vec<Part>,
}

type Part = (String, Option<Ink>);

/// The phase as people read it.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Booting => "booting",
        Phase::Migrating => "migrating",
        Phase::OneOff => "running a one-off",
        Phase::Running => "running",
        Phase::Reloading => "reloading",
        Phase::Stopping => "stopping",
    }
}

/// Everything; with `chosen` the rows alone, as the user named what is to be shown.
pub fn render(status: &Status, chosen: bool, look: &Look, moment: &Moment) -> String {
    let services: Vec<Row> = status.services.iter().map(service).collect();
    let crons: Vec<Row> = status.crons.iter().map(|entry| cron(entry, moment)).collect();
    let feet = if chosen { Vec::new() } else { feet(status) };
    let names = services.iter().chain(&crons).chain(&feet).map(|row| row.name.chars().count());
    let widest = names.filter(|width| *width <= WIDEST_NAME).max().unwrap_or(0);
    let mut out = String::new();
    if !chosen {
        wrap(&mut out, look, 0, 2, &head(status));
    }
    for (index, rows) in [services, crons, feet].iter().enumerate() {
        let apart = index == 0 || !chosen;
        if apart && !rows.is_empty() && !out.is_empty() {
            out.push('\n');
        }
        for row in rows {
            row.draw(&mut out, look, widest);
        }
    }
    out
}

impl Row {
    fn draw(&self, out: &mut String, look: &Look, widest: usize) {
        let ink = if self.ink == Ink::Faint { Ink::Faint } else { Ink::Name };
        out.push_str(&look.paint(ink, &format!("{:<widest$}", self.name)));
        out.push_str("  ");
        let indent = widest.saturating_add(2);
        let (indent, at) = if self.state.is_empty() {
            (indent, indent)
        } else {
            out.push_str(&look.paint(self.ink, &format!("{:<STATE$}", self.state)));
            out.push_str("  ");
            let indent = indent.saturating_add(STATE).saturating_add(2);
            (indent, indent.max(self.name.chars().count().saturating_add(STATE).saturating_add(4)))
        };
        let narrow = look.width.is_some_and(|width| width.saturating_sub(indent) < NARROW);
        wrap(out, look, at, if narrow { 4 } else { indent }, &self.parts);
    }
}

/// Writes the parts with commas between them, from column `at` on; a line that is full goes on at `indent`. A part is
/// broken only when it is wider than a line.
fn wrap(out: &mut String, look: &Look, mut at: usize, indent: usize, parts: &[Part]) {
    let width = look.width.unwrap_or(usize::MAX);
    let mut empty = true;
    for (index, (text, ink)) in parts.iter().enumerate() {
        let comma = if index.saturating_add(1) < parts.len() { "," } else { "" };
        let text = format!("{text}{comma}");
        let whole = text.chars().count();
        let fits_a_line = whole <= width.saturating_sub(indent);
        let pieces: Vec<&str> = if fits_a_line { vec![&text] } else { text.split(' ').collect() };
        for (nth, piece) in pieces.into_iter().enumerate() {
            // What does not fit in whole begins a line of its own.
            let length = if nth == 0 { whole } else { piece.chars().count() };
            let gap = usize::from(!empty);
            let full = at.saturating_add(gap).saturating_add(length) > width;
            if full && (!empty || at > indent) {
                end_line(out);
                out.push_str(&" ".repeat(indent));
                at = indent;
            } else if !empty {
                out.push(' ');
                at = at.saturating_add(1);
            }
            out.push_str(&ink.map_or_else(|| piece.to_owned(), |ink| look.paint(ink, piece)));
            at = at.saturating_add(piece.chars().count());
            empty = false;
        }
    }
    end_line(out);
}

fn end_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

fn plain(text: impl Into<String>) -> Part {
    (text.into(), None)
}

fn head(status: &Status) -> Vec<Part> {
    let ready = match (status.ready, status.phase) {
        (true, _) => Some(("ready".to_owned(), Some(Ink::Good))),
        (false, Phase::Running | Phase::Reloading) => Some(("not ready".to_owned(), Some(Ink::Busy))),
        (false, _) => None,
    };
    let going = match status.phase {
        Phase::Running => None,
        _ => Some(Ink::Busy),
    };
    let title = format!("init {}: {}", harmless(&status.version), phase(status.phase));
    let mut parts = vec![
        (title, going.or(Some(Ink::Title))),
        plain(format!("up {}", clock(status.uptime_ms))),
        plain(format!("role {}", harmless(status.role.as_deref().unwrap_or("all")))),
        plain(format!("preset {}", harmless(&status.preset))),
        plain(format!("pid {}", status.pid)),
    ];
    if let Some(ready) = ready {
        parts.insert(1, ready);
    }
    if status.paused {
        parts.push(("paused".to_owned(), Some(Ink::Busy)));
    }
    parts
}

fn service(service: &Service) -> Row {
    let ink = match service.state.as_str() {
        "RUNNING" => Ink::Good,
        "FATAL" => Ink::Bad,
        "STOPPED" if !service.wanted => Ink::Faint,
        "EXITED" => Ink::Faint,
        _ => Ink::Busy,
    };
    let mut parts = Vec::new();
    if let Some(pid) = service.pid {
        parts.push(plain(format!("pid {pid}")));
    }
    match (service.uptime_ms, &service.waits_for, service.retry_in_ms) {
        (Some(uptime), _, _) => parts.push(plain(format!("uptime {}", clock(uptime)))),
        (None, Some(other), _) => parts.push((format!("waits for {}", harmless(other)), Some(Ink::Busy))),
        (None, None, Some(wait)) => parts.push((format!("next start in {}", words(wait)), Some(Ink::Busy))),
        (None, None, None) => parts.push(plain(format!("for {}", words(service.since_ms)))),
    }
    if service.paused {
        parts.push(("paused".to_owned(), Some(Ink::Busy)));
    }
    if let Some(why) = &service.degraded {
        parts.push((format!("degraded: {}", harmless(why)), Some(Ink::Busy)));
    }
    if service.alive == Some(false) {
        parts.push(("its liveness probe fails".to_owned(), Some(Ink::Bad)));
    }
    if service.failures > 1 {
        parts.push((counted(service.failures, "failure", "failures in a row"), Some(Ink::Busy)));
    }
    if service.restarts > 0 {
        parts.push(plain(restarts(service)));
    }
    if let Some(last) = &service.last_exit {
        let ink = if service.state == "RUNNING" { Ink::Faint } else { ink };
        parts.push((format!("last {}", harmless(last)), Some(ink)));
    }
    Row {
        name: harmless(&service.name).into_owned(),
        state: harmless(&service.state).into_owned(),
        ink,
        parts,
    }
}

/// `4 restarts (3 exit, 1 oom)`.
fn restarts(service: &Service) -> String {
    let total = counted(service.restarts, "restart", "restarts");
    let causes: Vec<String> = service
        .restarts_by_cause
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(cause, count)| match service.restarts_by_cause.len() {
            1 => harmless(cause).into_owned(),
            _ => format!("{count} {}", harmless(cause)),
        })
        .collect();
    if causes.is_empty() { total } else { format!("{total} ({})", causes.join(", ")) }
}

fn cron(cron: &Cron, moment: &Moment) -> Row {
    let mut parts = Vec::new();
    match cron.running.as_slice() {
        [] => {}
        [run] => {
            let pid = run.pid.map(|pid| format!("pid {pid}, ")).unwrap_or_default();
            parts.push((format!("{pid}running for {}", words(run.age_ms)), Some(Ink::Good)));
        }
        [oldest, ..] => {
            let text = format!("{} runs, the oldest for {}", cron.running.len(), words(oldest.age_ms));
            parts.push((text, Some(Ink::Good)));
        }
    }
    let schedule = harmless(&cron.schedule);
    match cron.next_ms {
        Some(next) => parts.push(plain(format!("next {}: {schedule}", at(next, moment)))),
        None => parts.push(plain(format!("never due: {schedule}"))),
    }
    if let Some(last) = &cron.last_exit {
        let ago = cron.last_ago_ms.map(|ago| format!(" ({} ago)", words(ago))).unwrap_or_default();
        let ink = if last.starts_with("exited 0 ") { Ink::Faint } else { Ink::Busy };
        parts.push((format!("last {}{ago}", harmless(last)), Some(ink)));
    }
    if let Some(lag) = cron.lag_ms.filter(|lag| *lag >= 1000) {
        parts.push((format!("started {} late", words(lag)), Some(Ink::Busy)));
    }
    let bad = |outcome: &str| outcome != "ok";
    for (outcome, count) in cron.outcomes.iter().filter(|(outcome, count)| bad(outcome) && **count > 0) {
        parts.push((format!("{count} {}", harmless(outcome)), Some(Ink::Busy)));
    }
    Row { name: harmless(&cron.name).into_owned(), state: "cron".to_owned(), ink: Ink::Accent, parts }
}

/// What follows the table.
fn feet(status: &Status) -> Vec<Row> {
    let row = |name: &str, parts: Vec<Part>| Row {
        name: name.to_owned(),
        state: String::new(),
        ink: Ink::Faint,
        parts,
    };
    let mut rows = Vec::new();
    if let Some(reload) = &status.last_reload {
        let (how, ink) = if reload.ok { ("done", None) } else { ("failed", Some(Ink::Bad)) };
        let text = format!("{how} {} ago: {}", words(reload.ago_ms), harmless(&reload.text));
        rows.push(row("reload", vec![(text, ink)]));
    }
    if !status.ecs.is_empty() {
        let facts =
            status.ecs.iter().map(|(key, value)| plain(format!("{} {}", harmless(key), harmless(value))));
        rows.push(row("ecs", facts.collect()));
    }
    let log = status.log;
    let mut parts =
        vec![plain(format!("{} relayed", counted(log.lines, "line", "lines"))), plain(size(log.bytes))];
    if log.dropped_lines > 0 {
        parts.push((format!("{} dropped", counted(log.dropped_lines, "line", "lines")), Some(Ink::Busy)));
    }
    rows.push(row("log", parts));
    if status.orphans_reaped > 0 {
        rows.push(row("reaped", vec![plain(counted(status.orphans_reaped, "orphan", "orphans"))]));
    }
    rows
}

fn words(ms: u64) -> Words {
    Words(Duration::from_millis(ms))
}

/// As supervisorctl shows an uptime: `0:05:10`, `3 days, 2:04:10`.
fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let time = format!("{hours}:{minutes:02}:{:02}", seconds % 60);
    if days > 0 { format!("{} {time}", counted(days, "day", "days")) } else { time }
}

/// `14:00 (in 40s)`; with the day when it is not today, with seconds where they are not 0.
fn at(ms: i64, moment: &Moment) -> String {
    let local = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(moment.zone.clone());
    let (then, now) = (local(ms), local(moment.now_ms));
    let time = if then.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
    let day = match then.date() == now.date() {
        true => "",
        false if then.year() == now.year() => "%a %-d %b ",
        false => "%Y-%m-%d ",
    };
    let text = then.strftime(&format!("{day}{time}")).to_string();
    match u64::try_from(ms.saturating_sub(moment.now_ms)) {
        Ok(left) if left >= 1000 => format!("{text} (in {})", words(left)),
        _ => format!("{text} (now)"),
    }
}

/// `1.2 MB`.
fn size(bytes: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let mut tenths = u128::from(bytes).saturating_mul(10);
    let mut units = units.iter();
    let mut unit = units.next();
    while tenths >= 10_000 {
        let Some(next) = units.next() else { break };
        tenths /= 1000;
        unit = Some(next);
    }
    let unit = unit.unwrap_or(&"bytes");
    if *unit == "bytes" || tenths >= 1000 {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}
