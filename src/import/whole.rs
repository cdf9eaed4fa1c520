//! Every section but the programs' own: `[supervisord]`, groups, and what has no counterpart.

use super::ini::{Ini, Section};
use super::keys::{Given, Keys};
use super::page::{Page, Remark};
use super::program::{self, Common, Group, Service};
use super::text::{Atom, Scope, Text};
use super::{Input, Problem};

/// What `minfds` is when nobody says so.
const MINFDS: u64 = 1024;

/// Fills the page with everything but cron entries.
pub(super) fn read(ini: &Ini, input: &Input, page: &mut Page, problems: &mut Vec<Problem>) {
    for pattern in &input.unmatched {
        page.notes.push(format!("note: no file fits \"{pattern}\" of [include]"));
    }
    let common = supervisord(ini, input, page, problems);
    let (mut services, mut control) = (Vec::new(), Vec::new());
    let grouped = groups(ini, input, &common, page, problems, &mut services);
    for section in &ini.sections {
        match section.name.split_once(':').map_or(section.name.as_str(), |(kind, _)| kind) {
            "program" if section.name.contains(':') => {
                if !grouped.contains(&section.name) {
                    let mut keys = keys(section, input, problems);
                    services.extend(program::services(&mut keys, None, &common, page));
                }
            }
            "supervisord" | "include" | "group" => {}
            "unix_http_server" | "inet_http_server" | "supervisorctl" | "rpcinterface" | "ctlplugin" => {
                control.push(format!("[{}]", section.name));
            }
            kind => page.notes.push(without_counterpart(kind, section)),
        }
    }
    if !control.is_empty() {
        page.notes.push(format!(
            "not needed: {}: how supervisord itself is reached and extended; init listens on no port and has no password",
            control.join(", ")
        ));
    }
    place(services, input, page);
}

fn keys<'a>(section: &'a Section, input: &'a Input, problems: &'a mut Vec<Problem>) -> Keys<'a> {
    Keys { files: &input.files, section, scope: Scope::default(), problems }
}

fn supervisord(ini: &Ini, input: &Input, page: &mut Page, problems: &mut Vec<Problem>) -> Common {
    let mut common = Common::default();
    let Some(section) = ini.section("supervisord") else { return common };
    let mut keys = keys(section, input, problems);
    common.env = program::environment(&mut keys);
    page.env.clone_from(&common.env);
    page.user = keys.user();
    // supervisord changes directory and mask on its way into the background alone, see `_daemonize`.
    let foreground = keys.flag("nodaemon", false).value().unwrap_or(false);
    let umask = keys.umask("umask");
    let directory = keys.text("directory").map(Text::trim).filter(|text| !text.0.is_empty());
    if foreground {
        for (key, given) in [("umask", umask.is_some()), ("directory", directory.is_some())] {
            if given {
                page.notes.push(format!("note: {key} of [supervisord] had no effect: nodaemon = true"));
            }
        }
    } else {
        common.umask = umask;
        match directory {
            Some(text) if text.0.first() == Some(&Atom::Char('/')) => {
                common.work_dir = true;
                page.work_dir = Some(text);
            }
            Some(_) => page.notes.push(
                "not carried over: directory of [supervisord] does not begin with \"/\"; write work-dir = \"/…\""
                    .to_owned(),
            ),
            None => {}
        }
    }
    match keys.number::<u64>("minfds", MINFDS) {
        Given::Value(minfds) if minfds > MINFDS && minfds <= u64::from(u32::MAX) => {
            common.open_files = Some(minfds);
            page.notes.push(format!(
                "note: minfds = {minfds} is open-files of each service: exactly so many, where supervisord raised a lower limit"
            ));
        }
        Given::Value(_) => {}
        Given::Later(_) => page.notes.push(
            "not carried over: minfds comes from a variable; open-files = \"${VAR}\" of a service takes it"
                .to_owned(),
        ),
    }
    let carried = ["environment", "user", "umask", "directory", "minfds"];
    let own: Vec<&str> =
        keys.section.keys.iter().map(|(key, _)| key.as_str()).filter(|key| !carried.contains(key)).collect();
    if !own.is_empty() {
        page.notes.push(format!(
            "not needed: {} of [supervisord]: its own log, process and control",
            own.join(", ")
        ));
    }
    common
}

/// The services of the programs that are in groups; the names of those programs' sections.
fn groups(
    ini: &Ini,
    input: &Input,
    common: &Common,
    page: &mut Page,
    problems: &mut Vec<Problem>,
    services: &mut Vec<Service>,
) -> Vec<String> {
    let mut grouped = Vec::new();
    for section in &ini.sections {
        let Some(name) = section.named("group") else { continue };
        let mut keys = keys(section, input, problems);
        let priority = keys.number::<i64>("priority", 999).value().unwrap_or(999);
        let group = Group { name: name.trim().to_owned(), priority };
        let programs = keys.text("programs").map(|text| text.ours()).unwrap_or_default();
        page.remark(Remark::Names);
        let mut members = Vec::new();
        for program in programs.split(',').map(str::trim).filter(|program| !program.is_empty()) {
            let section = ini.section(&format!("program:{program}"));
            let fastcgi = ini.section(&format!("fcgi-program:{program}"));
            match (section, fastcgi) {
                (Some(section), _) => members.push(section),
                (None, Some(_)) => {}
                (None, None) => keys.problem("programs", format_args!("there is no [program:{program}]")),
            }
        }
        for member in members {
            grouped.push(member.name.clone());
            let mut keys = self::keys(member, input, problems);
            services.extend(program::services(&mut keys, Some(&group), common, page));
        }
    }
    grouped
}

/// What a section was for, and what there is instead. Its values are not shown: some are passwords.
fn without_counterpart(kind: &str, section: &Section) -> String {
    let name = &section.name;
    match kind {
        "eventlistener" => format!(
            "not carried over: [{name}]: event listeners speak supervisord's own protocol. Restarts, giving up and the end of the \
             container (essential = true) are init's own matter; events are lines of its log"
        ),
        "fcgi-program" => format!(
            "not carried over: [{name}]: supervisord opens a FastCGI socket and hands it to its processes; init opens no \
             sockets for programs. PHP-FPM opens its own: command = [\"php-fpm\", \"-F\"]"
        ),
        _ => format!(
            "not carried over: [{name}]: supervisord does not know such a section and ignores it as well"
        ),
    }
}

/// Orders, names and chains the services.
fn place(mut services: Vec<Service>, input: &Input, page: &mut Page) {
    if !input.crontabs.is_empty() {
        let (left_out, rest) = services.into_iter().partition(|service| service.crond);
        services = rest;
        let left_out: Vec<Service> = left_out;
        for service in left_out {
            page.notes.push(format!(
                "not needed: {} runs crontabs, which are [cron.…] below: init has a scheduler",
                service.title
            ));
        }
    }
    services.sort_by_key(|service| service.priority);
    for service in &mut services {
        let wanted = service.name.clone();
        service.name = page.name(&wanted);
        if service.name != wanted {
            service.notes.push(format!("note: it was called {wanted}"));
        }
    }
    let mut classes: Vec<i64> =
        services.iter().filter(|service| service.enabled).map(|s| s.priority.0).collect();
    classes.dedup();
    for pair in classes.windows(2) {
        let [lower, upper] = pair else { continue };
        let before: Vec<Text> = services
            .iter()
            .filter(|service| service.enabled && service.priority.0 == *lower)
            .map(|service| Text::literal(&service.name))
            .collect();
        let list: Vec<String> = before.iter().map(Text::toml).collect();
        for service in services.iter_mut().filter(|service| service.enabled && service.priority.0 == *upper) {
            service.lines.push(("after", format!("[{}]", list.join(", "))));
            page.remark(Remark::After);
        }
    }
    page.services = services;
}
