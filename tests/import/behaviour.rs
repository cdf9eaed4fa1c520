//! One small set-up, run by the real supervisord and, imported, by the real init: both must do the same.

use crate::harness::{NEEDS, Place, Running, Setup};
use crate::support::{eventually, need};
use crate::{import, plan};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Two supervisors beside all other tests.
const PATIENCE: Duration = Duration::from_secs(90);

const CONF: &str = r#"
[supervisord]
nodaemon = true
user = root
logfile = /dev/null
logfile_maxbytes = 0
pidfile = DIR/supervisord.pid
childlogdir = DIR
environment = SHARED="for, all"

[program:web]
command = DIR/mark %(program_name)s stay "two words" 'a"b' %(ENV_GIVEN)s $HOME ${NOT} 100%% > /dev/null
process_name = %(program_name)s_%(process_num)02d
numprocs = 2
user = nobody
directory = /tmp
umask = 027
environment = OWN="%(ENV_GIVEN)s of %(ENV_SHARED)s",DOLLAR='$X ${Y} $$' ; a comment
stopsignal = QUIT
autorestart = true
priority = 10

[program:tree]
command = DIR/mark tree
    child
stopsignal = SIGUSR1
stopasgroup = true
autorestart = true
priority = 20

[program:each]
command = DIR/mark each_%(process_num)d stay
process_name = each_%(process_num)d
numprocs = 2
numprocs_start = 5
user = daemon
stopsignal = INT

[program:once]
command = DIR/mark once exit 3
autorestart = false
startsecs = 0

[program:done]
command = DIR/mark done later 0

[program:crash]
command = DIR/mark crash first 3

[program:again]
command = DIR/mark again first 0
autorestart = true

[program:hopeless]
command = DIR/mark hopeless exit 1
autorestart = true
startretries = 2
; longer than it takes on a busy machine
startsecs = 30

[program:manual]
command = DIR/mark manual stay
autostart = false
"#;

/// Tells how it was started and which signals come, and does as its second argument says.
const MARK: &str = r#"#!/bin/sh
name=$1 how=$2 child=
shift 2
say() { echo "$name $*" >>DIR/log; }
for signal in HUP INT QUIT TERM USR1; do
    trap "say got $signal; [ -z \"\$child\" ] || wait \$child; exit 0" $signal
done
runs=$(grep -c "^$name start" DIR/log)
say "start uid=$(id -u) gid=$(id -g) umask=$(umask) SHARED=$SHARED OWN=$OWN DOLLAR=$DOLLAR argc=$# argv=$*"
[ "$name" != web ] || say "in $(pwd -P)"
later() { sleep 1.3 & wait $!; }
case $how in
    exit) exit $1 ;;
    later) later; say ends; exit $1 ;;
    first) [ $runs -gt 0 ] || { later; exit $1; } ;;
    child) DIR/mark $name-child stay & child=$! ;;
esac
say ready
while :; do sleep 1000 & wait $!; done
"#;

struct Run {
    setup: Setup,
    running: Running,
}

impl Run {
    /// Starts one of the two with the marks beside its configuration.
    fn start(setup: Setup, arguments: impl FnOnce(&Setup) -> Vec<String>) -> Self {
        let dir = setup.path("");
        let dir = dir.to_str().unwrap().trim_end_matches('/');
        setup.file("mark", MARK.replace("DIR", dir), 0o755);
        setup.file("log", "", 0o666);
        let setup = setup.env("GIVEN", "given").env("HOME", "/root");
        let arguments = arguments(&setup);
        let running = setup.start(&arguments);
        Self { setup, running }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.setup.path("log")).unwrap()
    }

    /// Waits until everything has happened that is to happen by itself, then stops it.
    fn life(self, gave_up: &str) -> Vec<String> {
        let happened =
            |log: &str, line: &str, times: usize| log.lines().filter(|l| *l == line).count() >= times;
        let all = || {
            let log = self.log();
            let stays = ["web", "web", "tree", "tree-child", "each_5", "each_6", "crash", "again"];
            let ready = stays.iter().all(|name| {
                let times = stays.iter().filter(|other| *other == name).count();
                happened(&log, &format!("{name} ready"), times)
            });
            let told = format!("{}{}", self.running.stdout(), self.running.stderr());
            (ready && happened(&log, "done ends", 1) && told.contains(gave_up)).then_some(())
        };
        eventually(&format!("{gave_up:?} and all marks"), PATIENCE, all);
        self.running.signal(15);
        let dir = self.setup.path("");
        let dir = dir.to_str().unwrap().trim_end_matches('/').to_owned();
        let log = self.setup.path("log");
        let Self { setup, running } = self;
        running.finish_within(PATIENCE);
        let text = fs::read_to_string(log).unwrap().replace(&dir, "DIR");
        drop(setup);
        text.lines().map(str::to_owned).collect()
    }
}

/// How often each line was written.
fn counted<'a>(lines: &'a [String], word: &str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines.iter().filter(|line| line.split(' ').nth(1) == Some(word)) {
        *counts.entry(line.as_str()).or_default() += 1;
    }
    counts
}

/// Who got which signal, with those of a higher priority before the others.
fn stops(lines: &[String]) -> Vec<String> {
    let mut got: Vec<&String> = lines.iter().filter(|line| line.contains(" got ")).collect();
    let class = |line: &str| match line.split([' ', '-']).next() {
        Some("web") => 2,
        Some("tree") => 1,
        _ => 0,
    };
    // Within a class any order is right; a stable sort would hide one that is wrong across classes.
    let classes: Vec<i32> = got.iter().map(|line| class(line)).collect();
    assert!(classes.is_sorted(), "stopped out of order: {got:?}");
    got.sort();
    got.into_iter().cloned().collect()
}

#[test]
fn supervisord_and_init_do_the_same() {
    if !need(&["supervisord"]) || !need(NEEDS) {
        return;
    }
    let setup = Setup::new(Place::Pid1, "").program("supervisord");
    let theirs = Run::start(setup, |setup| {
        let dir = setup.path("");
        let conf = CONF.replace("DIR", dir.to_str().unwrap().trim_end_matches('/'));
        let conf = setup.file("supervisord.conf", conf, 0o644);
        ["-n", "-c", conf.to_str().unwrap()].map(str::to_owned).into()
    });

    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("supervisord.conf");
    fs::write(&conf, CONF).unwrap();
    let (code, toml, err) = import(&[conf.to_str().unwrap()], &|_| None);
    assert_eq!((code, err.as_str()), (0, ""));
    let env = |name: &str| (name == "GIVEN").then(|| "given".to_owned());
    let names: Vec<String> = plan(&toml, &env).services.into_iter().map(|service| service.name).collect();
    assert_eq!(names, ["web", "tree", "each_5", "each_6", "once", "done", "crash", "again", "hopeless"]);
    let ours = Run::start(Setup::new(Place::Pid1, &toml), |_| Vec::new());

    let theirs = theirs.life("gave up: hopeless");
    let ours = ours.life("giving up, more than 2 restarts");
    for word in ["start", "in", "ends"] {
        assert_eq!(counted(&ours, word), counted(&theirs, word), "{word}");
    }
    assert_eq!(stops(&ours), stops(&theirs));
    // And not for want of anything to compare.
    let starts = |name: &str| ours.iter().filter(|line| line.starts_with(&format!("{name} start"))).count();
    let runs = ["web", "tree", "once", "done", "crash", "again", "hopeless", "manual"].map(starts);
    assert_eq!(runs, [2, 1, 1, 1, 2, 2, 3, 0]);
    let first = ours.iter().find(|line| line.starts_with("web start")).unwrap();
    assert!(
        first.contains("OWN=given of for, all DOLLAR=$X ${Y} $$ argc=8 argv=two words a\"b given $HOME"),
        "{first}"
    );
    for line in ["web got QUIT", "tree got USR1", "tree-child got USR1", "each_5 got INT", "again got TERM"] {
        assert!(stops(&ours).contains(&line.to_owned()), "{line}: {ours:?}");
    }
}
