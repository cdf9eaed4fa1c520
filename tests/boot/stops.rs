//! A stop signal at any moment of boot ends it at once, with everything that boot started.

use crate::harness::{NEEDS, PATIENCE, PLACES, Setup, descendants, is_alive, signal};
use crate::support::{eventually, need};
use std::time::{Duration, Instant};

const TAIL: &str =
    "[migrate]\ncommand = [\"sleep\", \"1000\"]\n[service.a]\ncommand = [\"sleep\", \"1000\"]\n";

fn step(script: &str) -> String {
    let script = script.replace('$', "$$");
    format!("[[boot]]\nname = \"slow\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n{TAIL}")
}

#[test]
fn every_stop_signal_ends_boot() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for (number, code) in [(15, 143), (2, 130), (3, 131), (28, 156), (30, 158)] {
            for (arguments, code) in [(&[][..], 0), (&["--migrate"], code), (&["--", "sleep", "1000"], code)]
            {
                let setup = Setup::new(place, &step("echo ready >&2; exec sleep 1000"));
                let running = setup.start(arguments);
                running.wait_for_log("ready");
                let all = descendants(running.pid());
                running.signal(number);
                let began = Instant::now();
                running.finish().expect(code);
                assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
                assert!(all.into_iter().all(|pid| !is_alive(pid)));
            }
        }
    }
}

#[test]
fn everything_that_boot_started_goes_with_it() {
    if !need(&["root", "unshare", "php"]) {
        return;
    }
    let family = "php -r \"while (true) sleep(1000);\" & setsid php -r \"while (true) sleep(1000);\" & (sleep 1000 &) ; php -r \"pcntl_fork(); pcntl_fork(); echo 1; while (true) sleep(1000);\" ";
    for place in PLACES {
        for arguments in [&[][..], &["--", "true"]] {
            let setup = Setup::new(place, &step(family));
            let running = setup.start(arguments);
            let all = eventually("all are there", PATIENCE, || {
                Some(descendants(running.pid())).filter(|all| all.len() == 8)
            });
            running.signal(15);
            let began = Instant::now();
            running.finish().expect(if arguments.is_empty() { 0 } else { 143 });
            assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
            for pid in all {
                eventually("it is gone", Duration::from_secs(1), || (!is_alive(pid)).then_some(()));
            }
        }
    }
}

#[test]
fn a_deaf_step_is_killed_and_a_second_signal_does_not_wait() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for twice in [false, true] {
            let setup = Setup::new(place, &step("trap \"\" TERM; echo ready; while :; do sleep 0.05; done"));
            let running = setup.start::<&str>(&[]);
            running.wait_for("ready");
            let began = Instant::now();
            running.signal(15);
            if twice {
                running.wait_for_log("");
                eventually("the first is heard", PATIENCE, || {
                    let pending = crate::harness::mask(running.pid(), "ShdPnd")?;
                    (pending & (1 << 14) == 0).then_some(())
                });
                signal(running.pid(), 2);
            }
            running.finish().expect(0);
            let took = began.elapsed();
            assert!(took < Duration::from_secs(if twice { 2 } else { 5 }), "{twice}: {took:?}");
        }
    }
}

#[test]
fn other_signals_do_not_disturb_boot() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, &step("echo ready; while ! [ -e DIR/go ]; do sleep 0.01; done"));
        let running = setup.start(&["--migrate"]);
        running.wait_for("ready");
        for number in [1, 10, 12, 17] {
            running.signal(number);
        }
        setup.file("go", "", 0o644);
        running.wait_for_log("booted in");
        running.signal(15);
        running.finish().expect(143);
    }
}

#[test]
fn a_step_that_is_stopped_is_continued_to_receive_its_stop_signal() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let script =
            "trap 'echo clean; exit 0' TERM; echo ready; kill -STOP $$; while :; do sleep 0.05; done";
        let setup =
            Setup::new(place, &format!("[[boot]]\nname = \"slow\"\ncommand = [\"DIR/step\"]\n{TAIL}"));
        setup.file("step", format!("#!/bin/sh\n{script}\n"), 0o755);
        let running = setup.start::<&str>(&[]);
        running.wait_for("ready");
        is_stopped(running.pid(), "step");
        running.signal(15);
        let done = running.finish().expect(0);
        assert!(done.stdout.contains("clean"), "{place:?}: it did not get TERM: {done:?}");
    }
}

/// Some descendant of this name is stopped by SIGSTOP.
fn is_stopped(root: i32, name: &str) {
    eventually("it is stopped", PATIENCE, || {
        descendants(root)
            .into_iter()
            .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok())
            .any(|stat| stat.contains(&format!("({name}) T")))
            .then_some(())
    });
}

#[test]
fn a_stop_during_boot_fits_in_a_small_budget() {
    if !need(NEEDS) {
        return;
    }
    // A step that does not obey, and a daemon of it that does not obey either and holds the step's output open.
    let deaf = "(trap '' TERM; setsid sh -c 'while :; do sleep 0.05; done' & )\ntrap '' TERM; echo ready; while :; do sleep 0.05; done";
    for place in PLACES {
        for (arguments, code) in [(&[][..], 0), (&["--migrate"], 143)] {
            let setup = Setup::new(
                place,
                &format!(
                    "stop-timeout = \"1s\"\n{}[service.a]\ncommand = [\"sleep\", \"1000\"]\n[migrate]\ncommand = [\"DIR/deaf\"]\n",
                    if arguments.is_empty() {
                        "[[boot]]\nname = \"deaf\"\ncommand = [\"DIR/deaf\"]\n"
                    } else {
                        ""
                    }
                ),
            );
            setup.file("deaf", format!("#!/bin/sh\n{deaf}\n"), 0o755);
            let running = setup.start(arguments);
            running.wait_for("ready");
            let began = Instant::now();
            running.signal(15);
            let done = running.finish().expect(code);
            // Without the budget: a grace of its own for the step, for its last words, and for what it left behind.
            let took = began.elapsed();
            assert!(took < Duration::from_millis(1600), "{place:?} {arguments:?}: {took:?}\n{done:?}");
        }
    }
}

/// A generator of numbers, so that a failure can be repeated: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[test]
fn a_stop_at_any_moment() {
    if !need(NEEDS) {
        return;
    }
    let steps: String = (1..=4)
        .map(|n| format!("[[boot]]\nname = \"s{n}\"\ncommand = [\"sh\", \"-c\", \"sleep 0.0{n} & wait\"]\n"))
        .collect();
    let files = "[[file]]\nname = \"env\"\nsource = \"DIR/source\"\npath = \".env\"\nformat = \"dotenv\"\n";
    let config = format!("user = \"www-data\"\n{files}{steps}{TAIL}");
    let seed = u64::from(std::process::id());
    let mut random = Random(seed);
    for round in 0..40 {
        for place in PLACES {
            let (arguments, code): (&[&str], i32) =
                [(&[][..], 0), (&["--migrate"][..], 143), (&["--", "sleep", "1000"][..], 143)][round % 3];
            let setup = Setup::new(place, &config);
            setup.file("source", "A=b\n", 0o600);
            let running = setup.start(arguments);
            let pid = running.listening();
            // The moment is what is tried here, so it is a time and not a condition.
            let moment = Duration::from_micros(random.below(180_000));
            std::thread::sleep(moment);
            let all = descendants(pid);
            let began = Instant::now();
            signal(pid, 15);
            let done = running.finish();
            let took = began.elapsed();
            assert_eq!(done.code, code, "seed {seed}, round {round}, {place:?}, after {moment:?}: {done:?}");
            assert!(took < Duration::from_secs(3), "seed {seed}, round {round}, {place:?}: {took:?}");
            assert!(all.into_iter().all(|pid| !is_alive(pid)), "seed {seed}, round {round}");
            // The file is there whole, or not at all.
            for (path, text) in setup.files() {
                assert!(!path.starts_with(setup.path("state")) || text == "A=b\n", "{path:?}: {text:?}");
            }
        }
    }
}

#[test]
fn a_stop_while_volumes_are_probed_leaves_no_probe_behind() {
    const VOLUMES: u32 = 100;
    if !need(NEEDS) {
        return;
    }
    // Few enough to be done on a busy machine within the half second that a stop leaves them.
    let paths: String = (0..VOLUMES).map(|n| format!("\"DIR/volumes/{n}\", ")).collect();
    let config = format!("writable = [{paths}]\n{TAIL}");
    for round in 0..20_u64 {
        let setup = Setup::new(PLACES[0], &config);
        for n in 0..VOLUMES {
            std::fs::create_dir_all(setup.path("volumes").join(n.to_string())).unwrap();
        }
        let running = setup.start::<&str>(&[]);
        let pid = running.listening();
        // The moment is what is tried here, so it is a time and not a condition.
        std::thread::sleep(Duration::from_micros(round * 700));
        signal(pid, 15);
        let done = running.finish();
        assert_eq!(done.code, 0, "{done:?}");
        for volume in std::fs::read_dir(setup.path("volumes")).unwrap() {
            assert_eq!(
                std::fs::read_dir(volume.unwrap().path()).unwrap().count(),
                0,
                "round {round}: {done:?}"
            );
        }
    }
}
