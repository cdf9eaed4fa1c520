//! The same scenarios under init, tini and dumb-init: one table of what they agree on and where they do not.

use crate::harness::{PLACES, Place, Setup, in_parallel};
use crate::support::{init, need};
use std::path::PathBuf;
use std::time::Duration;

const NEEDS: &[&str] = &["root", "unshare", "bash", "tini", "dumb-init"];

/// One command, what it is sent once it has said "ready", and the code of its init.
struct Scenario {
    name: &'static str,
    /// `@` in front: the words of a command; otherwise a bash script.
    command: &'static str,
    signal: Option<i32>,
    code: i32,
    /// Who is otherwise: the program, its code, and why.
    differs: &'static [(&'static str, i32, &'static str)],
}

const fn same(name: &'static str, command: &'static str, signal: Option<i32>, code: i32) -> Scenario {
    Scenario { name, command, signal, code, differs: &[] }
}

const fn but(
    name: &'static str,
    command: &'static str,
    signal: Option<i32>,
    code: i32,
    differs: &'static [(&'static str, i32, &'static str)],
) -> Scenario {
    Scenario { name, command, signal, code, differs }
}

const SCENARIOS: &[Scenario] = &[
    same("success", "exit 0", None, 0),
    same("failure", "exit 1", None, 1),
    same("any code", "exit 42", None, 42),
    same("the highest code", "exit 255", None, 255),
    same("a program without a shell", "@/bin/false", None, 1),
    same("killed by TERM", "kill -TERM $$", None, 143),
    same("killed by KILL", "kill -KILL $$", None, 137),
    same("killed by SEGV", "kill -SEGV $$", None, 139),
    same("killed by ABRT", "kill -ABRT $$", None, 134),
    same("killed by a real-time signal", "kill -40 $$", None, 168),
    same(
        "TERM forwarded, caught",
        "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done",
        Some(15),
        3,
    ),
    same(
        "TERM forwarded, success",
        "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done",
        Some(15),
        0,
    ),
    same("TERM forwarded, default", "echo ready; while :; do sleep 0.01; done", Some(15), 143),
    same("HUP forwarded", "trap 'exit 3' HUP; echo ready; while :; do sleep 0.01; done", Some(1), 3),
    same("INT forwarded", "trap 'exit 3' INT; echo ready; while :; do sleep 0.01; done", Some(2), 3),
    same("QUIT forwarded", "trap 'exit 3' QUIT; echo ready; while :; do sleep 0.01; done", Some(3), 3),
    same("USR1 forwarded", "trap 'exit 3' USR1; echo ready; while :; do sleep 0.01; done", Some(10), 3),
    same("USR2 forwarded", "trap 'exit 3' USR2; echo ready; while :; do sleep 0.01; done", Some(12), 3),
    same("ALRM forwarded", "trap 'exit 3' ALRM; echo ready; while :; do sleep 0.01; done", Some(14), 3),
    same("WINCH forwarded", "trap 'exit 3' WINCH; echo ready; while :; do sleep 0.01; done", Some(28), 3),
    same("PWR forwarded", "trap 'exit 3' PWR; echo ready; while :; do sleep 0.01; done", Some(30), 3),
    same("CONT forwarded", "trap 'exit 3' CONT; echo ready; while :; do sleep 0.01; done", Some(18), 3),
    same(
        "a real-time signal forwarded",
        "trap 'exit 3' RTMIN+3; echo ready; while :; do sleep 0.01; done",
        Some(37),
        3,
    ),
    but(
        "PIPE to init",
        "trap 'exit 3' PIPE; trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done",
        Some(13),
        3,
        &[("init", 5, "a write of init's own to a closed pipe must not reach the command")],
    ),
    but(
        "children of the command",
        "trap 'sleep 0.5; exit 3' USR1; bash -c \"trap 'kill -9 $$' USR1; echo ready; while kill -0 \\$PPID 2>/dev/null; do sleep 0.01; done\" & while :; do sleep 0.01; done",
        Some(10),
        3,
        &[("dumb-init", 137, "signals the whole session of the command, unless --single-child")],
    ),
    but(
        "no such program",
        "@/no/such/program",
        None,
        127,
        &[("dumb-init", 2, "has no code of its own for that")],
    ),
    but("no permission", "@/etc/passwd", None, 126, &[("dumb-init", 2, "has no code of its own for that")]),
];

/// Programs by name, with the arguments before the command; `-s`: a subreaper, which as PID 1 is not needed.
fn program(name: &str, place: Place) -> (PathBuf, Vec<&'static str>) {
    match (name, place) {
        ("tini", Place::Child) => ("/usr/bin/tini".into(), vec!["-s", "--"]),
        ("tini", Place::Pid1) => ("/usr/bin/tini".into(), vec!["--"]),
        ("dumb-init", _) => ("/usr/bin/dumb-init".into(), vec!["--"]),
        _ => (init(), vec!["--"]),
    }
}

fn run(name: &str, place: Place, scenario: &Scenario) -> i32 {
    let (program, mut arguments) = program(name, place);
    match scenario.command.strip_prefix('@') {
        Some(words) => arguments.extend(words.split(' ')),
        None => arguments.extend(["bash", "-c", scenario.command]),
    }
    let setup = Setup::new(place, "").program(program);
    let mut running = setup.start(&arguments);
    if let Some(signal) = scenario.signal {
        running.wait_for("ready");
        let pid = running.pid();
        crate::harness::signal(pid, signal);
        // Whoever does not pass it on would go on for ever.
        if scenario.differs.iter().any(|(who, ..)| *who == name)
            && !running.ends_within(Duration::from_millis(500))
        {
            crate::harness::signal(pid, 15);
        }
    }
    running.finish().code
}

#[test]
fn the_three_agree_but_where_the_table_says() {
    if !need(NEEDS) {
        return;
    }
    let mut runs = Vec::new();
    for scenario in SCENARIOS {
        for place in PLACES {
            runs.extend(["init", "tini", "dumb-init"].map(|name| (scenario, place, name)));
        }
    }
    let wrong = std::sync::Mutex::new(Vec::new());
    in_parallel(&runs, |(scenario, place, name)| {
        let expected =
            scenario.differs.iter().find(|(who, ..)| who == name).map_or(scenario.code, |(_, code, _)| *code);
        let code = run(name, *place, scenario);
        if code != expected {
            wrong
                .lock()
                .unwrap()
                .push(format!("{}: {name} as {place:?}: {code}, not {expected}", scenario.name));
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
