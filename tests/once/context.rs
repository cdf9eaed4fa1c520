//! What CMD finds around it: streams, descriptors, umask, directory, user, environment.

use crate::harness::{NEEDS, PLACES, Place, Setup, feed};
use crate::support::need;
use std::os::unix::fs::MetadataExt;

#[test]
fn stdin_is_a_pipe_from_end_to_end() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "");
        let text: Vec<u8> = (0..400_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let (running, stdin) = setup.start_with_stdin(&["--", "cat"]);
        let writer = feed(stdin, text.clone());
        let done = running.finish().expect(0);
        writer.join().unwrap();
        assert!(done.stdout.as_bytes() == text, "{} of {} bytes", done.stdout.len(), text.len());
        assert_eq!(done.stderr, "");
        // A reader that has enough: the writer gets its EPIPE, init its code.
        let (running, stdin) = setup.start_with_stdin(&["--", "head", "-c", "3"]);
        let writer = feed(stdin, b"abcdef".to_vec());
        assert_eq!(running.finish().expect(0).stdout, "abc");
        writer.join().unwrap();
    }
}

#[test]
fn stdout_is_the_commands_alone() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        [[boot]]
        name = "noise"
        command = ["sh", "-c", "echo step-out; echo step-err >&2"]
    "#;
    for place in PLACES {
        for format in ["plain", "prefix", "json", "inherit"] {
            let setup = Setup::new(place, &format!("log.format = \"{format}\"\n{config}"));
            let done = setup.sh("echo mine; echo wrong >&2").expect(0);
            assert_eq!(done.stdout, "mine\n", "{format}");
            for line in ["step-out", "step-err", "wrong"] {
                assert_eq!(done.stderr.matches(line).count(), 1, "{format}: {line} in {}", done.stderr);
            }
            assert_eq!(done.stderr.lines().count(), 3, "init itself says nothing: {}", done.stderr);
        }
        // When it is asked to speak it does so on stderr.
        let setup = Setup::new(place, &format!("log.level = \"debug\"\n{config}"));
        let done = setup.sh("echo mine").expect(0).says(&["boots: preset none"]);
        assert_eq!(done.stdout, "mine\n");
    }
}

#[test]
fn closed_and_odd_streams_are_survived() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for redirect in
            ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full", "<DIR/init.toml >DIR/out 2>&1"]
        {
            let setup = Setup::new(place, "").before(&format!("exec {redirect}"));
            setup.sh("exit 3").expect(3);
        }
        // Nobody reads: the command's own EPIPE, and not init's.
        let setup = Setup::new(place, "").before("exec 2>&1 | :");
        setup.sh("exit 3").expect(3);
    }
}

#[test]
fn umask_and_inherited_descriptors_are_kept() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "").before("umask 0057\nexec 7<DIR/init.toml 9>DIR/nine");
        let script = "umask; cat <&7; echo nine >&9; touch made; echo; ls /proc/self/fd";
        let done = setup.sh(script).expect(0);
        assert!(done.stdout.starts_with("0057\n") && done.stdout.contains("preset = \"none\""), "{done:?}");
        // What this test itself inherited is there as well; of init's own there is nothing.
        let descriptors = |text: &str| text.rsplit("\n\n").next().unwrap().to_owned();
        let bare = Setup::new(place, "")
            .before("umask 0057\nexec 7<DIR/init.toml 9>DIR/nine")
            .program("/usr/bin/env");
        let bare = bare.run(&["sh", "-c", script]).expect(0);
        assert_eq!(descriptors(&done.stdout), descriptors(&bare.stdout));
        assert!(descriptors(&done.stdout).contains("\n7\n9\n"), "{done:?}");
        assert_eq!(std::fs::read_to_string(setup.path("nine")).unwrap(), "nine\n");
        assert_eq!(std::fs::metadata(setup.path("made")).unwrap().mode() & 0o777, 0o620);
    }
}

#[test]
fn a_service_gets_no_descriptor_that_init_inherited() {
    if !need(NEEDS) {
        return;
    }
    let config =
        "[service.a]\ncommand = [\"sh\", \"-c\", \"echo $(ls /proc/self/fd); echo end; exec sleep 100\"]\n";
    for place in PLACES {
        let setup = Setup::new(place, config).before("exec 7<DIR/init.toml 9>DIR/nine");
        let running = setup.start::<&str>(&[]);
        running.wait_for("end");
        running.signal(15);
        assert_eq!(running.finish().expect(0).stdout, "0 1 2 3\nend\n");
    }
}

#[test]
fn the_directory_is_the_plans_or_else_the_containers() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "");
        let here = setup.path("").canonicalize().unwrap();
        assert_eq!(setup.sh("pwd -P").expect(0).stdout.trim(), here.to_str().unwrap());
        let setup = Setup::new(place, "work-dir = \"/usr/share\"\n");
        assert_eq!(setup.sh("pwd -P").expect(0).stdout, "/usr/share\n");
        let setup = Setup::new(place, "work-dir = \"/no/such\"\n");
        setup.sh("pwd").expect(126).says(&["cannot change to directory /no/such", "work-dir"]);
    }
}

#[test]
fn user_and_environment_are_the_plans() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        user = "www-data"
        env = { FROM_PLAN = "plan ${OUTER}", OUTER_TOO = "overridden" }
        pass-env = ["AWS_SESSION_TOKEN"]
    "#;
    for place in PLACES {
        let setup = Setup::new(place, config)
            .env("OUTER", "o")
            .env("OUTER_TOO", "o")
            .env("HOME", "/root")
            .env("AWS_SECRET_ACCESS_KEY", "S3CR3T")
            .env("AWS_SESSION_TOKEN", "passed")
            .env("LARAVEL_ENV_ENCRYPTION_KEY", "S3CR3T");
        let done = setup.run(&["--", "id"]).expect(0);
        assert_eq!(done.stdout, "uid=33(www-data) gid=33(www-data) groups=33(www-data)\n");
        let done = setup.run(&["--", "env"]).expect(0);
        let mut lines: Vec<&str> = done.stdout.lines().filter(|line| !line.starts_with("PATH=")).collect();
        lines.sort_unstable();
        let config = format!("INIT_CONFIG={}", setup.path("init.toml").display());
        assert_eq!(
            lines,
            [
                "AWS_SESSION_TOKEN=passed",
                "FROM_PLAN=plan o",
                "HOME=/var/www",
                &config,
                "LOGNAME=www-data",
                "OUTER=o",
                "OUTER_TOO=overridden",
                "USER=www-data",
            ]
        );
    }
}

#[test]
fn any_other_user_may_run_it() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "user = \"www-data\"\n").env("HOME", "/root").through(&[
            "setpriv",
            "--reuid=1000",
            "--regid=1000",
            "--clear-groups",
        ]);
        let done = setup.sh("id -u; id -G; echo $HOME; exit 9").expect(9);
        assert_eq!(done.stdout, "1000\n1000\n/root\n");
        assert_eq!(done.stderr, "", "the user of the plan cannot be had, which is no news for a one-off");
    }
}

#[test]
fn limits_and_priority_are_inherited() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "").before("ulimit -n 321; ulimit -t 4321");
        assert_eq!(setup.sh("ulimit -n; ulimit -t").expect(0).stdout, "321\n4321\n", "{place:?}");
    }
    let setup = Setup::new(Place::Child, "").through(&["nice", "-n", "7"]);
    assert_eq!(setup.sh("nice").expect(0).stdout, "7\n");
}

#[test]
fn without_boot_it_runs_in_a_container_that_does_not_boot() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        user = "www-data"
        env = { FROM_PLAN = "plan" }
        directories = ["DIR/made"]
        [[file]]
        source = "DIR/no-such-source"
        path = "DIR/state/.env"
        [[boot]]
        name = "broken"
        command = ["sh", "-c", "touch DIR/made/booted; exit 9"]
        [[boot]]
        name = "absent"
        command = ["no-such-program"]
    "#;
    for place in PLACES {
        let setup = Setup::new(place, config);
        setup.sh("echo ran").expect(127);
        let words = [
            "--no-boot",
            "--",
            "sh",
            "-c",
            "id -un; echo $FROM_PLAN $AWS_SECRET_ACCESS_KEY; ls made; exit 3",
        ];
        let setup = setup.env("AWS_SECRET_ACCESS_KEY", "S3CR3T");
        let done = setup.run(&words).expect(3);
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("www-data\nplan\n", ""));

        // What preflight finds is told, and is no reason not to look.
        let setup = Setup::new(place, &format!("writable = [\"/proc\"]\n{config}"));
        setup.sh("echo ran").expect(73).says(&["cannot write /proc"]);
        let done = setup.run(&["--no-boot", "--", "echo", "ran"]).expect(0).says(&["cannot write /proc"]);
        assert_eq!((done.stdout.as_str(), done.stderr.lines().count()), ("ran\n", 1));

        Setup::new(place, config).run(&["--no-boot"]).expect(64).says(&["init --no-boot -- CMD"]);
    }
}
