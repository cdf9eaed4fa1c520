use super::*;
use crate::config::load::layers;
use crate::config::plan::{Plan, Restart, StopScope};
use crate::config::resolve;
use crate::config::tree::Source;
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

fn input(text: &str, crontab: &str) -> Input {
    let file = File { name: "s.conf".into(), here: "/etc/supervisor".into(), text: text.into() };
    let crontabs =
        (!crontab.is_empty()).then(|| Crontab { path: "/etc/crontabs/app".into(), text: crontab.into() });
    Input { files: vec![file], unmatched: Vec::new(), crontabs: crontabs.into_iter().collect() }
}

/// Loads the text as init would; every variable is 1.
fn load(text: &str) -> Result<Plan, String> {
    let shown = |errors: Vec<crate::config::ConfigError>| {
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let source = Source { name: "init.toml".into(), text: text.into() };
    let env = |name: &str| (name != "TZ").then(|| "1".to_owned());
    let layers = layers(Some(source), None, &env, &|_| false, Some(Path::new("/"))).map_err(shown)?;
    resolve(&layers, &env, None).map_err(shown)
}

fn made(text: &str) -> (Plan, String) {
    let toml = import(&input(text, "")).unwrap_or_else(|problems| panic!("{problems:?}"));
    let plan = load(&toml).unwrap_or_else(|errors| panic!("{errors}\n{toml}"));
    (plan, toml)
}

fn program(keys: &str) -> (crate::config::plan::ServicePlan, String) {
    let (plan, toml) = made(&format!("[program:x]\ncommand=x\n{keys}"));
    (plan.services.into_iter().next().unwrap(), toml)
}

fn refused(text: &str) -> Vec<String> {
    import(&input(text, "")).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_defaults_are_supervisord_s() {
    let (x, _) = program("");
    assert_eq!(x.restart, Restart::OnFailure);
    assert_eq!((x.stop_scope, x.stop_signal.number()), (StopScope::Main, 15));
    assert_eq!((x.stop_timeout, x.start_grace), (Some(Duration::from_secs(10)), Duration::from_secs(1)));
    assert_eq!((x.instances, x.umask, x.open_files), (1, 0o022, None));
    assert_eq!((x.user, x.work_dir, x.essential), (None, None, false));
    assert_eq!(x.give_up.unwrap().restarts, 3);
    assert_eq!(x.backoff.initial, Duration::from_secs(1));
}

#[test]
fn restarts() {
    for (keys, restart, note) in [
        ("autorestart=true", Restart::Always, ""),
        ("autorestart=False", Restart::Never, "runs it once"),
        ("autorestart=false\nstartsecs=0", Restart::Never, ""),
        ("autorestart=unexpected\nexitcodes=0,2", Restart::OnFailure, "exitcodes: 2"),
        ("exitcodes=2", Restart::Always, "exitcodes: 2"),
        ("autorestart=%(ENV_A)s", Restart::Always, "from a variable"),
    ] {
        let (x, toml) = program(keys);
        assert_eq!(x.restart, restart, "{keys}");
        assert!(toml.contains(note), "{keys}\n{toml}");
        assert_eq!(toml.contains("exitcodes"), note.contains("exitcodes"), "{keys}\n{toml}");
    }
}

#[test]
fn stops() {
    let (x, _) = program("stopsignal=SIGQUIT\nstopasgroup=true\nstopwaitsecs=300");
    assert_eq!((x.stop_signal.number(), x.stop_scope), (3, StopScope::Group));
    assert_eq!(x.stop_timeout, Some(Duration::from_secs(300)));
    let (plan, toml) = made("[program:x]\ncommand=x\nstopwaitsecs=300");
    // Told within the first fifth, a service still has its own time.
    assert!(plan.stop_timeout.mul_f64(0.8) > Duration::from_secs(300));
    assert!(toml.contains("ECS allows 120 s"));
    assert!(program("stopsignal=STOP").1.contains("stopsignal = STOP"));
}

#[test]
fn variables_are_decided_when_the_container_starts() {
    let (x, toml) = program(
        "numprocs=%(ENV_N)s\nprocess_name=%(process_num)d\nautostart=%(ENV_A)s\nuser=u%(ENV_U)s\nstopwaitsecs=%(ENV_S)s\nstartsecs=%(ENV_S)s\nstartretries=%(ENV_R)s\nstopsignal=%(ENV_SIG)s",
    );
    assert_eq!((x.instances, x.user.as_deref(), x.stop_signal.number()), (1, Some("u1"), 1));
    for line in [
        "instances    = \"${N}\"",
        "enabled      = \"${A}\"",
        "stop-timeout = \"${S}s\"",
        "restarts = \"${R}\"",
    ] {
        assert!(toml.contains(line), "{line}\n{toml}");
    }
}

#[test]
fn priorities_are_an_order() {
    let (plan, _) = made(
        "[program:c]\ncommand=c\npriority=30\n[program:a]\ncommand=a\npriority=-1\n[program:off]\ncommand=o\nautostart=false\npriority=5\n[program:b]\ncommand=b\npriority=30\n",
    );
    let order: Vec<_> = plan.services.iter().map(|s| (s.name.as_str(), s.after.clone())).collect();
    let a = vec!["a".to_owned()];
    assert_eq!(order, [("a", vec![]), ("c", a.clone()), ("b", a)]);
}

#[test]
fn an_instance_with_a_command_of_its_own_is_a_service_of_its_own() {
    let (plan, _) = made(
        "[program:p]\ncommand=p %(process_num)d\nnumprocs=2\nnumprocs_start=8\nprocess_name=%(group_name)s_%(process_num)02d\n[group:g]\nprograms=p",
    );
    let made: Vec<_> = plan.services.iter().map(|s| (s.name.as_str(), s.command[1].as_str())).collect();
    assert_eq!(made, [("g_08", "8"), ("g_09", "9")]);
}

#[test]
fn what_supervisord_refuses_is_refused_by_place() {
    for (text, place, word) in [
        ("[program:x]\n", "s.conf:1: ", "command"),
        ("[program:x]\ncommand=a \"b ; c\"\n", "s.conf:2: ", "not closed"),
        ("[program:x]\ncommand=x\n\nstartsecs=soon\n", "s.conf:4: ", "no number"),
        ("[program:x]\ncommand=date +%Y\n", "s.conf:2: ", "%%"),
        ("[program:x]\ncommand=x\nnumprocs=2\n", "s.conf:1: ", "process_num"),
        ("[program:x]\ncommand=x\nstopsignal=TERMINATE\n", "s.conf:3: ", "no signal"),
        ("[program:x]\ncommand=x\nenvironment=A=b@c\n", "s.conf:3: ", "after A"),
        ("[program:x]\ncommand=x\nstopasgroup=1\nkillasgroup=0\n", "s.conf:4: ", "stopasgroup"),
        ("[program:x]\ncommand=x\nautostart=maybe\n", "s.conf:3: ", "neither"),
        ("[group:g]\nprograms=a,b\n", "s.conf:2: ", "[program:a]"),
        ("[program:x y]\ncommand=x\n", "s.conf:1: ", "space"),
        ("hello\n", "s.conf:1: ", "[section]"),
    ] {
        let lines = refused(text);
        assert!(lines[0].starts_with(place) && lines[0].contains(word), "{text}: {lines:?}");
    }
}

#[test]
fn passwords_are_not_shown() {
    let secrets = "[inet_http_server]\nport=1\npassword=S3CR3T\n[eventlistener:e]\nenvironment=A=S3CR3T\n[program:x]\ncommand=x\n";
    assert!(!made(secrets).1.contains("S3CR3T"));
    assert!(!refused("[program:x]\ncommand=x\nenvironment=A=x@S3CR3T\n").concat().contains("S3CR3T"));
}

#[test]
fn crontab_lines() {
    for (line, name, command, note) in [
        (
            "cd /app && php artisan schedule:run >> /dev/null 2>&1",
            "schedule",
            &["php", "artisan", "schedule:run"][..],
            "/dev/null",
        ),
        (
            "/usr/bin/php /app/artisan schedule:run 1>/dev/null",
            "schedule",
            &["/usr/bin/php", "/app/artisan", "schedule:run"],
            "/dev/null",
        ),
        ("php8.2 artisan a:b --x", "a-b", &["php8.2", "artisan", "a:b", "--x"], ""),
        ("php artisan a > /dev/null", "app-1", &["/bin/sh", "-c", "php artisan a > /dev/null"], ""),
        (
            "php artisan schedule:run >> /log",
            "app-1",
            &["/bin/sh", "-c", "php artisan schedule:run >> /log"],
            "",
        ),
        ("php artisan x $(y)", "app-1", &["/bin/sh", "-c", "php artisan x $(y)"], ""),
        ("cd app && php artisan x", "app-1", &["/bin/sh", "-c", "cd app && php artisan x"], ""),
        ("echo ${X} $$ é", "app-1", &["/bin/sh", "-c", "echo ${X} $$ é"], ""),
    ] {
        let toml = import(&input("[supervisord]\n", &format!("* * * * * {line}\n"))).unwrap();
        let plan = load(&toml).unwrap_or_else(|error| panic!("{error}\n{toml}"));
        let cron = &plan.crons[0];
        assert_eq!((cron.name.as_str(), cron.user.as_deref()), (name, Some("app")), "{line}");
        assert_eq!(cron.command, command, "{line}");
        assert!(toml.contains(note), "{line}");
    }
}

#[test]
fn a_crontab_with_nothing_but_a_reboot_line_is_told() {
    let toml = import(&input("[supervisord]\n", "@reboot /x\n")).unwrap();
    assert!(toml.contains("line 1: @reboot"), "{toml}");
    load(&toml).unwrap();
}

/// Pieces that matter to the reader.
const PIECES: &[&str] = &[
    "[program:x]\n",
    "[program:y]\n",
    "[group:g]\nprograms=x,y\n",
    "[supervisord]\n",
    "[DEFAULT]\n",
    "[include]\n",
    "[",
    "command=a b\n",
    "command=",
    "process_name=%(process_num)d\n",
    "numprocs=3\n",
    "numprocs=%(ENV_N)s\n",
    "numprocs=",
    "numprocs_start=",
    "priority=",
    "autostart=",
    "autorestart=",
    "startsecs=",
    "startretries=",
    "exitcodes=",
    "stopsignal=",
    "stopwaitsecs=",
    "stopasgroup=",
    "killasgroup=",
    "user=",
    "redirect_stderr=",
    "stdout_logfile=",
    "environment=",
    "directory=",
    "umask=",
    "minfds=",
    "%(ENV_A)s",
    "%(process_num)02d",
    "%(here)s",
    "%(program_name)s",
    "%%",
    "%",
    "\"",
    "'",
    "\\",
    ",",
    "=",
    ";",
    " ;",
    " #",
    "\n",
    "\n ",
    "\t",
    "$",
    "${",
    "}",
    "true",
    "false",
    "0",
    "7",
    "-1",
    "99999999999999999999",
    "TERM",
    "STOP",
    "/",
    "/srv",
    "é",
    "\u{1}",
    "\0",
    "A=1,",
    "a",
    ":",
    "~",
    "\u{2028}",
];

fn soup(pieces: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(0..pieces.len(), 0..most)
        .prop_map(|parts| parts.iter().map(|part| pieces[*part]).collect())
}

proptest! {
    #[test]
    fn whatever_is_printed_loads_or_is_refused_by_name(text in soup(PIECES, 40), value in soup(PIECES, 4), key in 0..PIECES.len()) {
        // Half of it noise, half a program that is right but for one key.
        let near = format!("[program:p]\ncommand=p\nprocess_name=%(process_num)d\n{}{value}\n", PIECES[key]);
        for text in [text.as_str(), &near] {
            match import(&input(text, "")) {
                Ok(toml) => {
                    let loaded = load(&toml);
                    prop_assert!(loaded.is_ok(), "{}\n{text}\n---\n{toml}", loaded.unwrap_err());
                }
                Err(problems) => {
                    let count = text.matches(['\n', '\r']).count() + 1;
                    prop_assert!(!problems.is_empty());
                    for problem in problems {
                        prop_assert!((1..=count).contains(&problem.line) && !problem.message.is_empty(), "{problem}");
                    }
                }
            }
        }
    }

    #[test]
    fn crontabs_too(text in "([ \t*0-9@%='\"a-z\\\\é\r\n:/.-]|\\* \\* \\* \\* \\* |@daily |@reboot |TZ=|HOME=/|php artisan |>/dev/null|cd /a && |\\$\\{?){0,30}", system in any::<bool>()) {
        let path = if system { "/etc/crontab" } else { "/app/crontab" };
        let crontabs = vec![Crontab { path: path.into(), text }];
        let input = Input { crontabs, ..input("", "") };
        if let Ok(toml) = import(&input) {
            let loaded = load(&toml);
            prop_assert!(loaded.is_ok(), "{}\n{toml}", loaded.unwrap_err());
        }
    }

    #[test]
    fn includes_never_panic(text in soup(PIECES, 30)) {
        let file = File { name: "x".into(), here: "/".into(), text: format!("[include]\nfiles={text}") };
        let _ = includes(&file, &|_| Some("a b".into()));
    }
}
