//! What init gets, CMD gets: once, and nobody else.

use crate::harness::{NEEDS, PATIENCE, PLACES, Place, Running, Setup, children_of, mask, signal};
use crate::support::{eventually, need};
use std::time::Duration;

/// Those that reach a process which catches everything it may, and that mean nothing to init itself.
fn forwarded() -> impl Iterator<Item = i32> {
    [1, 2, 3, 10, 12, 14, 15, 16, 18, 20, 23, 24, 25, 26, 27, 28, 29, 30].into_iter().chain(34..=64)
}

/// A bash script that writes each signal it gets, by number, and ends with code 7 when its stdin does.
const LISTENER: &str = r#"
for signal in {1..31} {34..64}; do
    case $signal in 9|17|19) continue ;; esac
    trap "echo got $signal," $signal
done
echo ready
while :; do
    read -r -t 0.05 line && exit 7
    [ $? -gt 128 ] || exit 7
done
"#;

fn listener(place: Place) -> (Running, std::process::ChildStdin) {
    let setup = Setup::new(place, "");
    let (running, stdin) = setup.start_with_stdin(&["--", "bash", "-c", LISTENER]);
    running.wait_for("ready");
    // The directory may go: bash has read its script from the command line.
    (running, stdin)
}

#[test]
fn each_signal_reaches_the_command_once() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let (running, stdin) = listener(place);
        for number in forwarded() {
            running.signal(number);
            running.wait_for(&format!("got {number},"));
        }
        drop(stdin);
        let done = running.finish().expect(7);
        for number in forwarded() {
            let times = done.stdout.matches(&format!("got {number},")).count();
            assert_eq!(times, 1, "signal {number} in {}", done.stdout);
        }
        assert_eq!(done.stderr, "");
    }
}

#[test]
fn a_storm_of_signals_loses_no_kind_of_them() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let (running, stdin) = listener(place);
        let pid = running.listening();
        for _ in 0..50 {
            for number in [1, 10, 12, 15, 34, 64] {
                signal(pid, number);
            }
        }
        for number in [1, 10, 12, 15, 34, 64] {
            running.wait_for(&format!("got {number},"));
        }
        drop(stdin);
        running.finish().expect(7);
    }
}

#[test]
fn only_the_command_gets_it_and_not_its_children() {
    if !need(NEEDS) {
        return;
    }
    // As under tini: a master such as php-fpm tells its workers itself, and two QUITs are one too many.
    let script = "trap 'echo parent' USR1; bash -c \"trap 'echo child' USR1; echo ready; read -r x </dev/stdin; exit 0\" <&0 &
        wait $!; wait $!; echo end";
    for place in PLACES {
        let setup = Setup::new(place, "");
        let (running, stdin) = setup.start_with_stdin(&["--", "bash", "-c", script]);
        running.wait_for("ready");
        running.signal(10);
        running.wait_for("parent");
        drop(stdin);
        let done = running.finish().expect(0);
        assert!(!done.stdout.contains("child"), "{done:?}");
    }
}

#[test]
fn the_commands_own_answer_to_a_stop_is_the_exit_code() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for (trap, number, code) in [
            ("trap 'exit 0' TERM", 15, 0),
            ("trap 'exit 9' TERM", 15, 9),
            ("trap 'exit 0' INT", 2, 0),
            ("trap 'trap - TERM; kill -TERM $$' TERM", 15, 143),
            ("exec sleep 100", 15, 143),
            ("exec sleep 100", 2, 130),
            ("exec sleep 100", 1, 129),
            ("exec sleep 100", 34, 162),
        ] {
            let setup = Setup::new(place, "");
            let script = format!("echo ready; {trap}; while :; do sleep 0.01; done");
            let running = setup.start(&["--", "bash", "-c", &script]);
            running.wait_for("ready");
            eventually("the command is settled", Duration::from_secs(5), || {
                let command = *crate::support::sandbox::children(running.pid()).first()?;
                let caught = mask(command, "SigCgt")? & (1 << (number - 1)) != 0;
                let name = std::fs::read_to_string(format!("/proc/{command}/comm")).ok()?;
                (caught || name == "sleep\n").then_some(())
            });
            running.signal(number);
            running.finish_within(Duration::from_secs(5)).expect(code);
        }
    }
}

#[test]
fn a_stop_and_continue_of_the_command_is_its_own_affair() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "");
        let running = setup.start(&["--", "bash", "-c", "echo ready; kill -STOP $$; echo on; exit 3"]);
        running.wait_for("ready");
        let command = eventually("the command is there", Duration::from_secs(5), || {
            crate::support::sandbox::children(running.pid()).first().copied()
        });
        eventually("it has stopped", Duration::from_secs(5), || {
            let stat = std::fs::read_to_string(format!("/proc/{command}/stat")).ok()?;
            stat.contains(") T ").then_some(())
        });
        running.signal(18);
        running.finish().expect(3);
    }
}

#[test]
fn the_command_starts_with_a_clean_mask_and_dispositions() {
    if !need(&["root", "unshare", "env"]) {
        return;
    }
    let ignore = "--ignore-signal=HUP,INT,QUIT,PIPE,TERM,CHLD,USR1,USR2,TSTP,TTIN,TTOU,RTMIN,64";
    let block = "--block-signal=HUP,INT,QUIT,PIPE,TERM,CHLD,USR1,USR2,TSTP,TTIN,TTOU,RTMIN,64";
    for place in PLACES {
        for wrapper in [&[][..], &["env", ignore], &["env", block], &["env", ignore, block]] {
            let done =
                Setup::new(place, "").through(wrapper).run(&["--", "cat", "/proc/self/status"]).expect(0);
            for name in ["SigBlk", "SigIgn", "SigCgt", "SigPnd"] {
                let line = done.stdout.lines().find(|line| line.starts_with(name)).unwrap();
                assert_eq!(line, format!("{name}:\t{:016x}", 0), "{place:?} {wrapper:?}");
            }
        }
    }
}

#[test]
fn init_hears_what_its_parent_had_blocked_or_ignored() {
    if !need(&["root", "unshare", "env"]) {
        return;
    }
    for place in PLACES {
        for wrapper in ["--block-signal", "--ignore-signal"] {
            let setup = Setup::new(place, "").through(&["env", wrapper]);
            let running = setup.start(&[
                "--",
                "bash",
                "-c",
                "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done",
            ]);
            running.wait_for("ready");
            running.signal(15);
            running.finish_within(Duration::from_secs(5)).expect(5);
        }
    }
}

#[test]
fn a_service_too_starts_with_a_clean_mask() {
    if !need(&["root", "unshare", "env"]) {
        return;
    }
    let config = "[service.a]\ncommand = [\"sh\", \"-c\", \"cat /proc/self/status; exec sleep 100\"]\n";
    for place in PLACES {
        let setup = Setup::new(place, config).through(&["env", "--block-signal", "--ignore-signal"]);
        let running = setup.start::<&str>(&[]);
        running.wait_for("nonvoluntary_ctxt_switches");
        for name in ["SigBlk", "SigIgn"] {
            let out = running.stdout();
            let line = out.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.ends_with("0000000000000000"), "{place:?} {line}");
        }
        assert_eq!(
            mask(running.listening(), "SigBlk").unwrap() & !(1 << 21),
            0,
            "init itself blocks TTOU alone"
        );
        running.signal(15);
        running.finish().expect(0);
    }
}

#[test]
fn an_end_is_heard_of_although_a_parent_had_chld_ignored() {
    if !need(&["root", "unshare", "env"]) {
        return;
    }
    // It ends before init waits for anything.
    let config = "[service.a]\ncommand = [\"DIR/broken\"]\nessential = true\ngive-up = { restarts = 0, within = \"1m\" }\n";
    for place in PLACES {
        let setup = Setup::new(place, config).through(&["env", "--ignore-signal"]);
        setup.file("broken", "#!/no/such/interpreter\n", 0o755);
        setup.start::<&str>(&[]).finish().expect(127);
    }
}

#[test]
fn a_stopped_command_is_continued_to_receive_a_stop_signal() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "");
        let script = "trap 'exit 9' TERM; trap 'echo continued' CONT; echo ready; kill -STOP $$; while :; do sleep 0.01; done";
        let running = setup.start(&["--", "sh", "-c", script]);
        running.wait_for("ready");
        let command = children_of(running.pid())[0];
        eventually("it is stopped", PATIENCE, || {
            let stat = std::fs::read_to_string(format!("/proc/{command}/stat")).ok()?;
            stat.contains(") T ").then_some(())
        });
        running.signal(15);
        running.finish().expect(9);
    }
}
