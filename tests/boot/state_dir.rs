//! As root, init's state directory is root's, whoever owned it before and whatever lies in it; or the boot ends with the
//! remedy. Without root it stays as it is.

use crate::harness::{NEEDS, PLACES, Place, Setup};
use crate::support::need;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;

const SECRET: &str = "DB_PASSWORD=S3CR3T\n";
const USER: &str = "user = \"www-data\"\n";

/// A dotenv file in the state directory, and one in a directory below it.
const FILES: &str = "user = \"www-data\"\n[[file]]\nsource = \"DIR/source\"\npath = \".env\"\nformat = \"dotenv\"\n\
    [[file]]\nsource = \"DIR/source\"\npath = \"tls/key.pem\"\nmode = \"0400\"\nowner = \"root\"\n";

fn facts(path: &Path) -> (u32, u32, u32) {
    let data = fs::symlink_metadata(path).unwrap();
    (data.uid(), data.gid(), data.mode() & 0o7777)
}

/// A set-up whose state directory is www-data's, as an image of earlier days made it.
fn theirs(place: Place, config: &str) -> Setup {
    let setup = Setup::new(place, config);
    setup.file("source", SECRET, 0o600);
    give(&setup, "state");
    setup
}

/// Makes a directory of www-data's.
fn give(setup: &Setup, path: &str) {
    fs::create_dir(setup.path(path)).unwrap();
    chown(setup.path(path), Some(33), Some(33)).unwrap();
}

#[test]
fn root_takes_over_a_state_directory_of_the_application() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = theirs(place, FILES);
        let script =
            format!("cat {0}/.env; touch {0}/new; mv -f {0}/.env {0}/x", setup.path("state").display());
        let done = setup.sh(&script);
        assert_eq!(done.stdout, SECRET, "the application reads it, and changes nothing");
        for name in ["new", "x"] {
            assert!(!setup.path("state").join(name).exists(), "{name}");
        }
        assert_eq!(facts(&setup.path("state")), (0, 33, 0o755), "whoever could enter still may");
        assert_eq!(facts(&setup.path("state/tls")), (0, 33, 0o750));
        assert_eq!(facts(&setup.path("state/.env")), (0, 33, 0o440));
        assert_eq!(facts(&setup.path("state/tls/key.pem")), (0, 0, 0o400));
    }
}

#[test]
fn whatever_the_application_left_at_its_name_the_control_socket_is_roots() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let link = |path: &Path| symlink("elsewhere", path).unwrap();
        let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        let directory = |path: &Path| fs::create_dir_all(path.join("x")).unwrap();
        let file = |path: &Path| fs::write(path, "").unwrap();
        for left in [&link as &dyn Fn(&Path), &socket, &directory, &file] {
            let setup = theirs(place, USER);
            let path = setup.path("state/init.sock");
            left(&path);
            lchown(&path, Some(33), Some(33)).unwrap();
            let done = setup.sh(&format!("stat -c '%F %u' {}", path.display()));
            assert_eq!(done.stdout, "socket 0\n");
        }
    }
}

#[test]
fn what_the_application_left_in_it_is_not_followed_and_not_in_the_way() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let victims = |setup: &Setup| {
            setup.file("victim/file", "root's\n", 0o644);
            fs::hard_link(setup.path("victim/file"), setup.path("state/.env")).unwrap();
            symlink(setup.path("victim"), setup.path("state/tls")).unwrap();
            lchown(setup.path("state/tls"), Some(33), Some(33)).unwrap();
        };
        let directories = |setup: &Setup| {
            for name in ["state/.env", "state/tls"] {
                give(setup, name);
            }
            give(setup, "state/.env/full");
            give(setup, "state/tls/key.pem");
        };
        let fifos = |setup: &Setup| {
            for name in ["state/.env", "state/tls"] {
                let path = setup.path(name);
                assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
                lchown(&path, Some(33), Some(33)).unwrap();
            }
        };
        let files = |setup: &Setup| {
            for name in ["state/.env", "state/tls"] {
                let path = setup.file(name, SECRET, 0o666);
                lchown(&path, Some(33), Some(33)).unwrap();
            }
        };
        for leave in [&victims as &dyn Fn(&Setup), &directories, &fifos, &files] {
            let setup = theirs(place, FILES);
            leave(&setup);
            setup.sh("true").expect(0);
            assert_eq!(facts(&setup.path("state/.env")), (0, 33, 0o440));
            assert_eq!(fs::read_to_string(setup.path("state/.env")).unwrap(), SECRET);
            let (uid, gid, mode) = facts(&setup.path("state/tls"));
            assert_eq!((uid, gid, mode & 0o772), (0, 33, 0o750));
            assert_eq!(facts(&setup.path("state/tls/key.pem")), (0, 0, 0o400));
            if setup.path("victim").exists() {
                assert_eq!(fs::read_to_string(setup.path("victim/file")).unwrap(), "root's\n");
                assert_eq!(facts(&setup.path("victim/file")), (0, 0, 0o644));
                assert_eq!(fs::read_dir(setup.path("victim")).unwrap().count(), 1);
            }
        }
    }
}

#[test]
fn a_state_directory_that_another_user_can_replace_is_refused() {
    if !need(NEEDS) {
        return;
    }
    let below = format!("state-dir = \"DIR/above/state\"\n{FILES}");
    for place in PLACES {
        let setup = Setup::new(place, &below);
        setup.file("source", SECRET, 0o600);
        give(&setup, "above");
        let remedy = "/above: it belongs to uid 33 with mode 0755";
        setup.sh("true").expect(73).says(&["cannot trust what lies in", remedy, "chown root"]);
        assert!(!setup.path("above/state").exists());
        chown(setup.path("above"), Some(0), Some(0)).unwrap();
        for (mode, code) in [(0o777, 73), (0o775, 73), (0o1777, 0), (0o755, 0)] {
            fs::set_permissions(setup.path("above"), fs::Permissions::from_mode(mode)).unwrap();
            setup.sh("true").expect(code);
        }

        // A link that www-data could change.
        let setup = Setup::new(place, FILES);
        setup.file("source", SECRET, 0o600);
        fs::create_dir(setup.path("elsewhere")).unwrap();
        symlink(setup.path("elsewhere"), setup.path("state")).unwrap();
        lchown(setup.path("state"), Some(33), Some(33)).unwrap();
        setup.sh("true").expect(73).says(&["symbolic link that belongs to uid 33"]);
        lchown(setup.path("state"), Some(0), Some(0)).unwrap();
        setup.sh("true").expect(0);
        assert_eq!(facts(&setup.path("elsewhere/.env")), (0, 33, 0o440));
    }
}

#[test]
fn a_state_directory_that_the_plan_gives_to_the_application_is_refused() {
    if !need(NEEDS) {
        return;
    }
    for given in ["DIR/state", "DIR"] {
        let setup = theirs(Place::Child, &format!("writable = [\"{given}\"]\n{FILES}"));
        let done = setup.sh("true").expect(73);
        assert!(done.stderr.contains("take that path out of writable"), "{done:?}");
        assert_eq!(facts(&setup.path("state")), (33, 33, 0o755));
    }
}

#[test]
fn where_root_may_not_take_it_over_the_boot_says_what_to_do() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    for place in PLACES {
        let setup = theirs(place, FILES).through(&["setpriv", "--bounding-set=-chown"]);
        let remedy = "/state: it belongs to 33:33 with mode 0755, and root may not take it over";
        let remedies = [remedy, "mount a tmpfs there", "the capability CHOWN", "--user 33:33"];
        setup.sh("true").expect(73).says(&remedies);
        assert!(!setup.path("state/.env").exists());
        // Root's already, so all that fails is to give it the group.
        let setup = theirs(place, FILES).through(&["setpriv", "--bounding-set=-chown"]);
        chown(setup.path("state"), Some(0), Some(0)).unwrap();
        setup.sh("true").expect(73).says(&["cannot change its owner to 0:33", "add the capability CHOWN"]);
    }
}

#[test]
fn a_directory_that_others_write_as_well_is_not_taken_from_them() {
    if !need(NEEDS) {
        return;
    }
    // A file system of its own: nothing of this machine is at stake.
    let own = "mount -t tmpfs -o mode=1777 none /dev/shm && stat -c %a /dev/shm && \"$@\"; code=$?; \
        stat -c %a /dev/shm; exit $code";
    let wrapper = ["unshare", "--mount", "sh", "-c", own, "sh"];
    for place in PLACES {
        let setup = theirs(place, &format!("state-dir = \"/dev/shm\"\n{FILES}")).through(&wrapper);
        let done = setup.sh("true").expect(73);
        assert!(done.stderr.contains("such as /dev/shm/php"), "{done:?}");
        assert_eq!(done.stdout, "1777\n1777\n");
    }
}

#[test]
fn the_capabilities_of_the_readme_are_enough_for_what_the_application_gets() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    let bounding = "--bounding-set=-all,+setuid,+setgid,+kill,+chown,+dac_override";
    for place in PLACES {
        let config = format!(
            "directories = [\"DIR/made/deep\"]\n{USER}[[file]]\nsource = \"DIR/source\"\npath = \"tls/key.pem\"\nmode = \"0400\"\n"
        );
        let setup = Setup::new(place, &config).through(&["setpriv", bounding]);
        setup.file("source", SECRET, 0o600);
        setup.sh("true").expect(0);
        assert_eq!(facts(&setup.path("state/tls/key.pem")), (33, 33, 0o400));
        assert_eq!(facts(&setup.path("made/deep")), (33, 33, 0o755));
    }
}

/// A PHP-FPM that tells how it was started.
const FPM: &str = "[service.php-fpm]\ncommand = [\"DIR/php-fpm\", \"-F\"]\nuser = \"root\"\nessential = true\n\
    restart = \"never\"\nfpm = { config = \"DIR/php-fpm.conf\" }\n";

#[test]
fn php_fpm_gets_no_drop_in_from_a_directory_that_is_not_roots() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    for place in PLACES {
        for (bounding, with) in [("+all", true), ("-chown", false)] {
            let wrapper = format!("--bounding-set={bounding}");
            let setup = theirs(place, &format!("{USER}{FPM}")).through(&["setpriv", &wrapper]);
            setup.file("php-fpm", "#!/bin/sh\necho \"started with $*\"\n", 0o755);
            setup.file("php-fpm.conf", "[www]\nlisten = 127.0.0.1:9000\n", 0o644);
            setup.file("state/php-fpm.fpm.conf", "; of the attacker\n", 0o666);
            let done = setup.run::<&str>(&[]).expect(0);
            let drop_in = setup.path("state/php-fpm.fpm.conf");
            let said = format!("started with -F -y {}", drop_in.display());
            assert_eq!(done.all().contains(&said), with, "{done:?}");
            if with {
                assert_eq!(facts(&drop_in), (0, 0, 0o640));
                assert!(fs::read_to_string(&drop_in).unwrap().starts_with("; Written by init"));
            } else {
                assert!(done.all().contains("runs with the image's configuration alone"), "{done:?}");
            }
        }
    }
}

#[test]
fn without_root_a_state_directory_stays_as_it_is() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    for place in PLACES {
        let config = "user = \"www-data\"\n[[file]]\nsource = \"DIR/source\"\npath = \"tls/.env\"\nformat = \"dotenv\"\n";
        let wrapper = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
        let setup = theirs(place, config).through(&wrapper);
        fs::set_permissions(setup.path("source"), fs::Permissions::from_mode(0o644)).unwrap();
        chown(setup.path("state"), Some(1000), Some(1000)).unwrap();
        fs::set_permissions(setup.path("state"), fs::Permissions::from_mode(0o777)).unwrap();
        setup.sh("true").expect(0);
        assert_eq!(facts(&setup.path("state")), (1000, 1000, 0o777));
        assert_eq!(facts(&setup.path("state/tls/.env")), (1000, 1000, 0o440));
    }
}

/// The caches of a reload are the application's, and the volume may be small.
#[test]
fn what_fills_the_volume_in_an_earlier_generation_keeps_no_boot_from_working() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    let fill = "mkdir -p DIR/state; mount -t tmpfs -o size=512k,mode=0750 none DIR/state; cd DIR/state; \
        mkdir -m 0750 .generations .generations/1; chgrp 33 .generations; (cd .generations/1; \
        for level in 1 2 3; do mkdir -p $(printf 'd/%.0s' $(seq 70)); cd -P $(printf 'd/%.0s' $(seq 70)); done; \
        head -c 10000000 /dev/zero > x || true); chown -R 33:33 .generations/1; chmod 0 .generations/1; cd /";
    for place in PLACES {
        // Without them root cannot look into what is another user's.
        for bounding in ["+all", "-dac_override,-dac_read_search"] {
            let wrapper = format!("--bounding-set={bounding}");
            let setup = Setup::new(place, FILES).before(fill).through(&["setpriv", &wrapper]);
            setup.file("source", SECRET, 0o600);
            let done = setup.sh(&format!("cat {}", setup.path("state/.env").display()));
            assert_eq!((done.code, done.stdout.as_str()), (0, SECRET), "{bounding}: {}", done.stderr);
        }
    }
}
