//! Boot steps: their time, their end, their result, their surroundings.

use crate::harness::{NEEDS, PLACES, Place, Setup, descendants, is_alive};
use crate::support::{eventually, need};
use std::time::{Duration, Instant};

/// Something to supervise.
const SERVICE: &str = "[service.a]\ncommand = [\"sleep\", \"1000\"]\n";

/// One step that runs a shell script, in which no `$` is the configuration's.
fn step(script: &str, more: &str) -> String {
    let script = script.replace('$', "$$");
    format!("[[boot]]\nname = \"prepare\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n{more}\n")
}

#[test]
fn a_failed_step_gives_the_container_its_code() {
    if !need(NEEDS) {
        return;
    }
    let rest = "[[boot]]\nname = \"next\"\ncommand = [\"echo\", \"next\"]\n";
    for place in PLACES {
        for (script, code, words) in [
            ("exit 1", 1, "boot step \"prepare\" failed: exit code 1"),
            ("exit 42", 42, "exit code 42"),
            ("exit 255", 255, "PHP gives for a fatal error"),
            ("kill -TERM $$", 143, "ended by SIGTERM"),
            ("kill -SEGV $$", 139, "ended by SIGSEGV"),
            ("kill -KILL $$", 137, "ended by SIGKILL"),
        ] {
            for arguments in [&[][..], &["--", "echo", "started"]] {
                let setup = Setup::new(
                    place,
                    &format!("{}{rest}[service.a]\ncommand = [\"echo\", \"started\"]", step(script, "")),
                );
                let done = setup.run(arguments).expect(code).says(&[words]);
                assert_eq!(done.stdout, "", "nothing after it was started: {done:?}");
            }
        }
        let setup = Setup::new(place, "[[boot]]\nname = \"x\"\ncommand = [\"DIR/script\"]\n");
        setup.file("script", "#!/no/such/interpreter\n", 0o755);
        setup.sh("true").expect(127).says(&["/no/such/interpreter"]);
    }
}

#[test]
fn a_step_that_takes_too_long_is_124_and_gone() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for (script, limit) in [
            ("echo ready; exec sleep 1000", 3),
            ("sleep 1000 & setsid sleep 1000 & echo ready; wait", 4),
            // It does not care for TERM.
            ("trap \"\" TERM; echo ready; while :; do sleep 0.05; done", 6),
        ] {
            let setup = Setup::new(place, &format!("{}{SERVICE}", step(script, "timeout = \"300ms\"")));
            let running = setup.start::<&str>(&[]);
            running.wait_for("ready");
            let all = descendants(running.pid());
            let began = Instant::now();
            let done = running.finish().expect(124);
            assert!(began.elapsed() < Duration::from_secs(limit), "{script}: {:?}", began.elapsed());
            assert!(done.stderr.contains("did not end within 300ms"), "{done:?}");
            for pid in all {
                eventually("it is gone", Duration::from_secs(1), || (!is_alive(pid)).then_some(()));
            }
        }
    }
}

#[test]
fn the_output_of_a_step_is_relayed() {
    if !need(NEEDS) {
        return;
    }
    let script = "echo out; echo err >&2; printf unfinished; head -c 100000 /dev/zero | tr \"\\\\0\" x; echo";
    for place in PLACES {
        let setup = Setup::new(place, &format!("{}[migrate]\ncommand = [\"true\"]", step(script, "")));
        let done = setup.run(&["--migrate"]).expect(0);
        assert!(done.stdout.starts_with("out\nunfinishedxxxxx"), "{:.100}", done.stdout);
        assert_eq!(done.stdout.matches('x').count(), 100_000);
        assert!(done.stderr.contains("\nerr\n") || done.stderr.starts_with("err\n"), "{}", done.stderr);
        let config = format!(
            "log.format = \"prefix\"\n{}[migrate]\ncommand = [\"true\"]",
            step("echo out; echo err >&2", "")
        );
        let done = Setup::new(place, &config).run(&["--migrate"]).expect(0);
        assert!(
            done.stdout.contains("[prepare] out\n") && done.stderr.contains("[prepare] err\n"),
            "{done:?}"
        );
        let config = format!(
            "log.format = \"json\"\n{}[migrate]\ncommand = [\"true\"]",
            step("echo out; echo err >&2", "")
        );
        let done = Setup::new(place, &config).run(&["--migrate"]).expect(0);
        for line in done.all().lines() {
            let line: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line.is_object());
        }
    }
}

#[test]
fn a_background_process_that_keeps_the_output_open_does_not_hold_boot_up() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, &step("sleep 1000 & echo done", ""));
        let began = Instant::now();
        assert_eq!(setup.sh("echo mine").expect(0).stdout, "mine\n");
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn a_step_runs_as_the_application_in_its_directory_with_its_environment() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        user = "www-data"
        env = { OVER = "plan", OF_PLAN = "plan" }
        [[boot]]
        name = "plain"
        command = ["sh", "-c", "id -un; id -G; pwd; umask; echo $$HOME $$OVER $$OF_PLAN $$AWS_SECRET_ACCESS_KEY; readlink /proc/self/fd/0; ps -o sid=,tty= -p $$$$ | tr -s ' '; grep -c S3CR3T /proc/self/environ || true"]
        [[boot]]
        name = "own"
        user = "root"
        work-dir = "/usr"
        umask = "0000"
        env = { OVER = "step" }
        command = ["sh", "-c", "id -un; pwd; umask; echo $$HOME $$OVER $$OF_PLAN"]
        [migrate]
        command = ["true"]
    "#;
    if !need(&["ps"]) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, config)
            .env("AWS_SECRET_ACCESS_KEY", "S3CR3T")
            .env("OVER", "real")
            .env("HOME", "/root");
        let here = setup.path("").canonicalize().unwrap();
        let done = setup.run(&["--migrate"]).expect(0);
        let lines: Vec<&str> = done.stdout.lines().map(str::trim).collect();
        let (before, after) = lines.split_at(6);
        assert_eq!(
            before,
            ["www-data", "33", here.to_str().unwrap(), "0027", "/var/www plan plan", "/dev/null"]
        );
        assert!(after[0].ends_with('?'), "no terminal: {lines:?}");
        assert_eq!(after[1..], ["0", "root", "/usr", "0000", "/root step plan"]);
        assert!(done.stderr.contains("withheld from every child: AWS_SECRET_ACCESS_KEY"), "{done:?}");
        assert!(!done.all().contains("S3CR3T"));
    }
}

#[test]
fn steps_run_one_after_the_other() {
    if !need(NEEDS) {
        return;
    }
    let config: String = (1..=5)
        .map(|n| format!("[[boot]]\nname = \"s{n}\"\ncommand = [\"sh\", \"-c\", \"echo begin{n}; sleep 0.02; echo end{n}\"]\n"))
        .collect();
    let setup = Setup::new(Place::Child, &format!("{config}[migrate]\ncommand = [\"echo\", \"migrate\"]\n"));
    let expected: String = (1..=5).map(|n| format!("begin{n}\nend{n}\n")).collect();
    assert_eq!(setup.run(&["--migrate"]).expect(0).stdout, format!("{expected}migrate\n"));
}

/// What newer Laravel prints, with colours, and exits 0.
const FAILED: &str = "#!/bin/sh\nmkdir -p bootstrap/cache\necho cached >bootstrap/cache/config.php\nprintf '\\n  \\033[37;44m INFO \\033[39;49m Caching framework bootstrap.\\n\\n  config ........... 10.1ms \\033[32;1mDONE\\033[39;22m\\n  routes \\033[90m....\\033[39m 3.02ms \\033[31;1mFAIL\\033[39;22m\\n'\n";

#[test]
fn a_step_that_says_success_is_verified() {
    if !need(NEEDS) {
        return;
    }
    let verified = "verify = \"laravel-optimize\"";
    for place in PLACES {
        for (script, verify, code, words) in [
            (FAILED, verified, 76, "its task \"routes\" printed FAIL"),
            ("#!/bin/sh\necho Files cached successfully!\n", verified, 76, "did not write"),
            ("#!/bin/sh\nmkdir -p bootstrap/cache\necho x >bootstrap/cache/config.php\n", verified, 0, ""),
            (
                "#!/bin/sh\nmkdir -p bootstrap/cache\necho x >bootstrap/cache/config.php\nexit 3\n",
                verified,
                3,
                "exit code 3",
            ),
            ("#!/bin/sh\necho Files cached successfully!\n", "", 0, ""),
            (
                "#!/bin/sh\necho x >\"$APP_CONFIG_CACHE\"\n",
                "verify = \"laravel-optimize\"\nenv = { APP_CONFIG_CACHE = \"DIR/moved.php\" }",
                0,
                "",
            ),
        ] {
            let setup = Setup::new(
                place,
                &format!("[[boot]]\nname = \"optimize\"\ncommand = [\"DIR/artisan\"]\n{verify}\n"),
            );
            setup.file("artisan", script, 0o755);
            setup.sh("true").expect(code).says(&[words]);
        }
        // A cache that an earlier container left does not count.
        let setup =
            Setup::new(place, &format!("[[boot]]\nname = \"optimize\"\ncommand = [\"true\"]\n{verified}\n"));
        setup.file("bootstrap/cache/config.php", "<?php", 0o644);
        setup.sh("true").expect(76).says(&[
            "did not write",
            "bootstrap/cache/config.php",
            "verify = \"none\"",
        ]);
    }
}

#[test]
fn init_leaves_its_working_directory_and_nothing_else_changes() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "[service.a]\ncommand = [\"sh\", \"-c\", \"pwd; exec sleep 1000\"]\n");
        let config = ["--config", "init.toml"];
        let running = setup.start(&config);
        // Children are where they were.
        let line = format!("{}\n", setup.path("").display()).replace("/\n", "\n");
        running.wait_for(&line);
        let own = std::fs::read_link(format!("/proc/{}/cwd", running.pid())).unwrap();
        assert_eq!(own, std::path::Path::new("/"), "{place:?}: it could not be unmounted");
        // A relative path of the configuration means the same file as at the start.
        let text = std::fs::read_to_string(setup.path("init.toml")).unwrap();
        setup.file("init.toml", format!("{text}[service.b]\ncommand = [\"sleep\", \"1000\"]\n"), 0o644);
        running.signal(1);
        running.wait_for_log("b: started");
        running.signal(15);
        running.finish().expect(0);
        let done = setup.run(&["--config", "init.toml", "--", "pwd"]).expect(0);
        assert_eq!(done.stdout, line);
    }
}
