//! Files from disk: placed whole, with owner and mode, or not at all; and no value is ever shown.

use crate::harness::{NEEDS, PLACES, Place, Running, Setup, children_of, is_alive, signal};
use crate::lease::{self, Lease};
use crate::support::{eventually, need};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;

/// In every value of every file here.
const SECRET: &str = "S3CR3T";

/// What ends with the dotenv file of the preset "laravel".
fn config(source: &str, more: &str) -> String {
    format!(
        "user = \"www-data\"\n[[file]]\nname = \"env\"\nsource = \"{source}\"\npath = \".env\"\nformat = \"dotenv\"\n{more}\n"
    )
}

fn facts(path: &Path) -> (u32, u32, u32) {
    let data = fs::metadata(path).unwrap();
    (data.uid(), data.gid(), data.mode() & 0o7777)
}

/// Neither the file nor a temporary one is in the state directory. A killed init leaves its socket.
fn nothing_placed(setup: &Setup) {
    let left: Vec<_> = fs::read_dir(setup.path("state")).into_iter().flatten().flatten().collect();
    let left: Vec<_> = left.into_iter().filter(|entry| entry.file_name() != "init.sock").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_file_is_placed_with_owner_and_mode() {
    if !need(NEEDS) {
        return;
    }
    let text = format!("DB_PASSWORD={SECRET}\nAPP_NAME=\"a b\"\n");
    for place in PLACES {
        for source in ["DIR/source", "file://DIR/source"] {
            let setup = Setup::new(place, &config(source, ""));
            setup.file("source", &text, 0o600);
            let done = setup.run(&["--", "cat", setup.path("state/.env").to_str().unwrap()]).expect(0);
            assert_eq!(done.stdout, text, "the application's user can read it");
            // By its group; it may not change it.
            assert_eq!(facts(&setup.path("state/.env")), (0, 33, 0o440));
            // Others may not even enter.
            assert_eq!(facts(&setup.path("state")), (0, 33, 0o750));
            assert_eq!(fs::read_dir(setup.path("state")).unwrap().count(), 1);
            assert_eq!(done.stderr, "");
        }
        // A mode that no group may read by is for the owner.
        let setup = Setup::new(place, &config("DIR/source", "mode = \"0400\""));
        setup.file("source", &text, 0o600);
        setup.run(&["--", "cat", setup.path("state/.env").to_str().unwrap()]).expect(0);
        assert_eq!(facts(&setup.path("state/.env")), (33, 33, 0o400));
        // A directory elsewhere that the application may not enter.
        let elsewhere = config("DIR/source", "").replace("\".env\"", "\"DIR/elsewhere/.env\"");
        let setup = Setup::new(place, &elsewhere).before("mkdir -m 0700 DIR/elsewhere");
        setup.file("source", &text, 0o600);
        setup.sh("true").expect(0).says(&["www-data cannot read", "it may not enter", "mode 0750"]);
        let more = "mode = \"0400\"\nowner = \"root:www-data\"\n[[file]]\nsource = \"DIR/raw\"\npath = \"certificates/ca.pem\"";
        let setup = Setup::new(place, &config("DIR/source", more));
        setup.file("source", &text, 0o600);
        setup.file("raw", b"\x00\xff any bytes", 0o600);
        setup.sh("true").expect(0);
        assert_eq!(facts(&setup.path("state/.env")), (0, 33, 0o400));
        assert_eq!(fs::read(setup.path("state/certificates/ca.pem")).unwrap(), b"\x00\xff any bytes");
    }
}

#[test]
fn a_reader_sees_the_old_file_or_the_new_one() {
    if !need(NEEDS) {
        return;
    }
    let setup = Setup::new(Place::Child, &config("DIR/source", ""));
    let texts = ["1", "2"].map(|digit| format!("A={}\n", digit.repeat(100_000)));
    setup.file("source", &texts[0], 0o600);
    setup.sh("true").expect(0);
    let path = setup.path("state/.env");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = [0, 0];
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let text = fs::read_to_string(&path).unwrap();
                let which = texts.iter().position(|known| *known == text).expect("one of the two, and whole");
                seen[which] += 1;
            }
            seen
        });
        for round in 1..=20 {
            setup.file("source", &texts[round % 2], 0o600);
            setup.sh("true").expect(0);
            assert_eq!(fs::read_to_string(&path).unwrap(), texts[round % 2]);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let seen = reader.join().unwrap();
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    });
}

#[test]
fn an_invalid_dotenv_is_65_by_line_and_key_and_shows_no_value() {
    if !need(NEEDS) {
        return;
    }
    // Every value, and half of what is none, holds the secret.
    let cases: &[(&str, &[&str])] = &[
        (
            "A=1\nDB_PASSWORD=S3CR3T and more S3CR3T\n",
            &["line 2, key DB_PASSWORD: the value has unquoted whitespace"],
        ),
        ("DB_PASSWORD=\"S3CR3T\nB=S3CR3T\n", &["line 1, key DB_PASSWORD", "never closed"]),
        ("DB_PASSWORD='S3CR3T\n", &["line 1, key DB_PASSWORD: the closing quote is missing"]),
        ("A=1\n\nDB_PASSWORD=\"S3CR3T\\q\"\n", &["line 3, key DB_PASSWORD: the value has an unknown escape"]),
        ("DB_PASSWORD=\"S3CR3T\"S3CR3T\n", &["line 1, key DB_PASSWORD: text follows the closing quote"]),
        ("A=1\n=S3CR3T\n", &["line 2: there is no name before"]),
        ("MY KEY=S3CR3T\n", &["line 1: the name is invalid"]),
        ("A=1\nhunter S3CR3T two\n", &["line 2: this is neither NAME=value nor a comment"]),
        ("# it's 5\" long\nDB_PASSWORD=S3CR3T\nC=\"x\"\n", &[]),
        ("", &["the file defines nothing"]),
        ("# nothing but S3CR3T\n", &["the file defines nothing"]),
        ("\u{feff}", &[]),
    ];
    for place in PLACES {
        for (text, words) in cases {
            for log in ["level = \"trace\"", "level = \"trace\"\nformat = \"json\""] {
                let setup = Setup::new(place, &config("DIR/source", &format!("[log]\n{log}")));
                setup.file("source", text, 0o600);
                let done = setup.sh("echo started");
                if words.is_empty() && done.code == 0 {
                    continue;
                }
                let done = done.expect(65).says(words).says(&["cannot accept", "nothing was written"]);
                assert!(!done.all().contains(SECRET), "{text:?}: {done:?}");
                assert_eq!(done.stdout, "", "nothing was started");
                nothing_placed(&setup);
            }
        }
        // UTF-16, as Windows saves it.
        let setup = Setup::new(place, &config("DIR/source", ""));
        let utf16: Vec<u8> = "\u{feff}A=S3CR3T\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        setup.file("source", utf16, 0o600);
        setup.sh("true").expect(65).says(&["UTF-16"]);
        nothing_placed(&setup);
        // A required key.
        for (text, words) in
            [("APP_ENV=x\n", "key APP_KEY: required, but not defined"), ("APP_KEY=\n", "required, but empty")]
        {
            let setup = Setup::new(place, &config("DIR/source", "require-keys = [\"APP_KEY\"]"));
            setup.file("source", text, 0o600);
            setup.sh("true").expect(65).says(&[words]);
            nothing_placed(&setup);
        }
        // Too large.
        let setup = Setup::new(place, &config("DIR/source", "max-size = \"1KiB\""));
        setup.file("source", format!("A=\"{}\"\n", SECRET.repeat(1000)), 0o600);
        let done = setup.sh("true").expect(65).says(&["max-size"]);
        assert!(!done.all().contains(SECRET));
        nothing_placed(&setup);
    }
}

#[test]
fn an_accepted_file_shows_no_value_either() {
    if !need(NEEDS) {
        return;
    }
    let text = "A=S3CR3T#S3CR3T\nA=S3CR3T\nB=$S3CR3T\nC=${S3CR3T}\nAPP_KEY=S3CR3T\nAPP_DEBUG=true\nAPP_ENV=production\nS3CR3T\r\n";
    for place in PLACES {
        let setup = Setup::new(place, &config("DIR/source", "[log]\nlevel = \"trace\""));
        setup.file("source", text, 0o600);
        let done = setup.sh("true").expect(0).says(&[
            "line 1, key A: the value ends at a `#`",
            "line 2, key A: already defined on line 1",
            "line 5, key APP_KEY: not a valid key",
            "debug mode is on in production",
        ]);
        assert!(!done.all().contains(SECRET), "{done:?}");
    }
}

#[test]
fn an_invalid_file_leaves_the_earlier_one_alone() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, &config("DIR/source", ""));
        setup.file("source", "A=old\n", 0o600);
        setup.sh("true").expect(0);
        let inode = fs::metadata(setup.path("state/.env")).unwrap().ino();
        setup.sh("true").expect(0);
        assert_eq!(
            fs::metadata(setup.path("state/.env")).unwrap().ino(),
            inode,
            "the same content is not written again"
        );
        setup.file("source", "A=two words\n", 0o600);
        setup.sh("true").expect(65);
        assert_eq!(fs::read_to_string(setup.path("state/.env")).unwrap(), "A=old\n");
        assert_eq!(fs::read_dir(setup.path("state")).unwrap().count(), 1);
    }
}

#[test]
fn a_missing_source_is_66_unless_it_is_optional() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, &config("DIR/source", ""));
        setup.sh("true").expect(66).says(&["cannot read", "/source: No such file", "required = false"]);
        nothing_placed(&setup);
        let setup = Setup::new(place, &config("file://DIR/source", "required = false"));
        assert_eq!(setup.sh("echo on").expect(0).stdout, "on\n");
        nothing_placed(&setup);
        // A directory, a FIFO: nothing that could be waited for.
        let setup = Setup::new(place, &config("DIR/source", "")).before("mkfifo DIR/source");
        setup.sh("true").expect(66).says(&["not a regular file"]);
        let setup = Setup::new(place, &config("/etc", ""));
        setup.sh("true").expect(66).says(&["a directory"]);
        // An optional file that is there and invalid is an error all the same.
        let setup = Setup::new(place, &config("DIR/source", "required = false"));
        setup.file("source", "A=two words\n", 0o600);
        setup.sh("true").expect(65);
        nothing_placed(&setup);
    }
}

#[test]
fn a_source_or_a_place_that_the_user_may_not_touch() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    let wrapper = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    for place in PLACES {
        let setup = Setup::new(place, &config("DIR/source", "")).through(&wrapper);
        fs::create_dir(setup.path("state")).unwrap();
        chown(setup.path("state"), Some(1000), Some(1000)).unwrap();
        setup.file("source", "A=S3CR3T\n", 0o600);
        setup.sh("true").expect(66).says(&["Permission denied", "let the user that init runs as read it"]);
        setup.file("source", "A=S3CR3T\n", 0o644);
        setup.sh("true").expect(0);
        assert_eq!(facts(&setup.path("state/.env")), (1000, 1000, 0o440));
        // Not its own directory.
        let setup = Setup::new(place, &config("DIR/source", "")).through(&wrapper);
        fs::create_dir(setup.path("state")).unwrap();
        setup.file("source", "A=S3CR3T\n", 0o644);
        setup.sh("true").expect(73).says(&["/state", "it belongs to 0:0"]);
        nothing_placed(&setup);
    }
}

#[test]
fn a_full_volume_is_73_and_leaves_nothing() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, &config("DIR/source", ""))
            .before("mkdir -p DIR/state; mount -t tmpfs -o size=64k,mode=0755 none DIR/state; trap 'ls -A DIR/state' EXIT");
        setup.file("source", format!("A={}\n", "x".repeat(200_000)), 0o644);
        setup.sh("true").expect(73).says(&["full", "make room"]);
    }
}

#[test]
fn a_source_that_does_not_answer_is_69() {
    if !need(lease::NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, &config("DIR/source", "timeout = \"1s\""));
        let source = setup.file("source", "A=b\n", 0o644);
        let _lease = Lease::on(&source);
        setup.sh("true").expect(69).says(&["no answer within 1s"]);
        nothing_placed(&setup);
    }
}

fn fetch_child(running: &Running) -> i32 {
    eventually("the fetch child waits for the file", Duration::from_secs(10), || {
        children_of(running.pid()).into_iter().find(|pid| {
            // nanosleep or clock_nanosleep, between two attempts to open it.
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with("fetch\0"))
                && fs::read_to_string(format!("/proc/{pid}/syscall"))
                    .is_ok_and(|call| ["35 ", "230 "].iter().any(|number| call.starts_with(number)))
        })
    })
}

#[test]
fn the_fetch_child_does_not_outlive_a_killed_init() {
    if !need(lease::NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, &config("DIR/source", ""));
        let source = setup.file("source", "A=b\n", 0o644);
        let _lease = Lease::on(&source);
        let running = setup.start(&["--", "true"]);
        let child = fetch_child(&running);
        signal(running.pid(), 9);
        running.finish();
        eventually("the fetch child is gone", Duration::from_secs(2), || (!is_alive(child)).then_some(()));
        nothing_placed(&setup);
    }
}

#[test]
fn a_stop_ends_a_fetch_that_hangs() {
    if !need(lease::NEEDS) {
        return;
    }
    for place in PLACES {
        for (arguments, code) in [(&[][..], 0), (&["--migrate"], 143), (&["--", "true"], 143)] {
            let more = "[migrate]\ncommand = [\"true\"]\n[service.a]\ncommand = [\"sleep\", \"100\"]";
            let setup = Setup::new(place, &config("DIR/source", more));
            let source = setup.file("source", "A=b\n", 0o644);
            let _lease = Lease::on(&source);
            let running = setup.start(arguments);
            let child = fetch_child(&running);
            running.signal(15);
            running.finish_within(Duration::from_secs(3)).expect(code);
            assert!(!is_alive(child));
            nothing_placed(&setup);
        }
    }
}
