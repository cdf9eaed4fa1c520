//! How CMD ends is how init ends.

use crate::harness::{NEEDS, PLACES, Setup, in_parallel};
use crate::support::need;

/// Signals whose default is to end the process: signal(7). 32 and 33 are the C library's own, and the kernel knows
/// nothing of that.
pub fn fatal() -> impl Iterator<Item = i32> {
    (1..=64).filter(|number| ![17, 18, 19, 20, 21, 22, 23, 28].contains(number))
}

#[test]
fn every_exit_code_passes_through() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "");
        let codes: Vec<i32> = (0..=255).collect();
        in_parallel(&codes, |code| {
            let done = setup.sh(&format!("exit {code}")).expect(*code);
            assert_eq!(done.all(), "", "init has nothing to say about code {code}");
        });
    }
}

#[test]
fn every_fatal_signal_passes_through_as_128_plus_n() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "");
        let signals: Vec<i32> = fatal().collect();
        assert_eq!(signals.len(), 56);
        in_parallel(&signals, |signal| {
            setup.sh(&format!("kill -{signal} $$; echo survived")).expect(128 + signal);
        });
    }
}

#[test]
fn a_command_that_cannot_be_is_127_or_126_and_says_what_to_do() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "");
        setup.file("plain", "#!/bin/sh\n", 0o644);
        setup.file("no-interpreter", "#!/no/such/interpreter\n", 0o755);
        setup.file("no-line", "echo hello\n", 0o755);
        setup.file("empty", "", 0o755);
        setup.file("crlf", "#!/bin/sh\r\necho hello\r\n", 0o755);
        setup.file("binary", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0", 0o755);
        std::os::unix::fs::symlink("/gone", setup.path("link")).unwrap();
        let dir = setup.path("");
        let dir = dir.to_str().unwrap();
        for (command, code, words) in [
            (
                "no-such-program",
                127,
                &["cannot find \"no-such-program\"", "PATH", "install it in the image"][..],
            ),
            ("/no/such/program", 127, &["/no/such/program", "there is no such file"]),
            ("./no-such-program", 127, &["no such file in"]),
            ("./link", 127, &["symbolic link to /gone"]),
            (
                "./no-interpreter",
                127,
                &["the file is there, but its interpreter \"/no/such/interpreter\" is not"],
            ),
            ("./crlf", 127, &["Windows line ends"]),
            ("./plain", 126, &["no execute permission (mode 0644)", "chmod +x"]),
            ("./no-line", 126, &["neither a program nor a script that starts with #!"]),
            ("./empty", 126, &["empty"]),
            ("./binary", 126, &["built for another machine than"]),
            (dir, 126, &["is a directory"]),
        ] {
            let done = setup.run(&["--", command]).expect(code).says(words);
            assert_eq!(done.stdout, "");
            assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        }
    }
}

#[test]
fn arguments_arrive_as_they_are() {
    if !need(NEEDS) {
        return;
    }
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    for place in PLACES {
        let setup = Setup::new(place, "");
        let words = ["--", "printf", "[%s]", "", "a b", "--", "--help", "${HOME}", "$$", "*", "\n", "é"];
        assert_eq!(setup.run(&words).expect(0).stdout, "[][a b][--][--help][${HOME}][$$][*][\n][é]");
        // Latin-1, as a file name of old may be.
        let words = ["--", "printf", "%s", "caf"].map(OsStr::new);
        let mut words = words.to_vec();
        words[3] = OsStr::from_bytes(b"caf\xe9");
        let mut command = setup.command(&words);
        let out = command.output().unwrap();
        assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(0), &b"caf\xe9"[..]), "{out:?}");
    }
}
