//! Where a program's output went, and where it goes now: the container's stdout and stderr, always.

use super::keys::{Given, Keys, boolean};
use super::page::{Page, Remark};
use super::program::Service;
use super::text::Text;

pub(super) fn read(keys: &mut Keys<'_>, made: &mut Service, page: &mut Page) {
    let redirected = match keys.flag("redirect_stderr", false) {
        Given::Value(redirected) => redirected,
        Given::Later(_) => true,
    };
    if redirected {
        page.remark(Remark::Streams);
    }
    for stream in ["stdout", "stderr"] {
        // redirect_stderr leaves stderr_logfile without a use.
        if stream == "stdout" || !redirected {
            logfile(keys, made, page, stream);
        }
        let syslog = format!("{stream}_syslog");
        if keys.text(&syslog).and_then(|text| boolean(&text.ours())) == Some(true) {
            made.notes
                .push(format!("not carried over: {syslog}: no syslog is spoken, the container's log has it"));
        }
        let capture = format!("{stream}_capture_maxbytes");
        let events = format!("{stream}_events_enabled");
        let wanted = |text: Text| !["0", "false", "off", "no"].contains(&text.ours().to_lowercase().as_str());
        for key in [capture, events] {
            if keys.text(&key).is_some_and(wanted) {
                made.notes.push(format!(
                    "not carried over: {key}: it serves event listeners, which init does not have"
                ));
            }
        }
    }
}

fn logfile(keys: &mut Keys<'_>, made: &mut Service, page: &mut Page, stream: &str) {
    let key = format!("{stream}_logfile");
    let file = keys.text(&key).map(Text::trim).map(|text| text.ours());
    let Some(file) = file.filter(|file| !file.eq_ignore_ascii_case("auto")) else {
        page.remark(Remark::Files);
        return;
    };
    let number = if stream == "stdout" { '1' } else { '2' };
    let own = ["/dev/", "/dev/fd/", "/proc/self/fd/", "/proc/1/fd/"].iter().any(|place| {
        file.strip_prefix(place).is_some_and(|name| name == stream || name == number.to_string())
    });
    if own {
        return;
    }
    let note = match file.to_lowercase().as_str() {
        "none" | "off" | "/dev/null" => {
            format!("not carried over: {key} = {file} discards it; here it goes to the container's {stream}")
        }
        "syslog" => {
            format!("not carried over: {key} = syslog: no syslog is spoken, the container's log has it")
        }
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" | "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => {
            format!("not carried over: {key} = {file}: each stream goes to the container's own")
        }
        _ => format!(
            "not carried over: {key} = {file} and its rotation: init writes no files, output goes to the container's {stream}"
        ),
    };
    made.notes.push(note);
}
