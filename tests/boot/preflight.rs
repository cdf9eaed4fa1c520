//! What would fail later is told at once, before anything starts; what is missing and can be made is made.

use crate::harness::{NEEDS, PLACES, Place, Setup};
use crate::support::need;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

/// Makes DIR/ro a read-only mount.
const READ_ONLY: &str = "mkdir -p DIR/ro; mount --bind DIR/ro DIR/ro; mount -o remount,bind,ro DIR/ro";

fn owner(path: &Path) -> (u32, u32, u32) {
    let data = fs::metadata(path).unwrap();
    (data.uid(), data.gid(), data.mode() & 0o7777)
}

#[test]
fn a_configuration_that_the_application_may_change_is_warned_of() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let config = "user = \"www-data\"\n[service.a]\ncommand = [\"true\"]\nrestart = \"never\"\n";
        let words = "as root, and www-data";
        let setup = Setup::new(place, config);
        let done = setup.run::<&str>(&[]).expect(0);
        assert!(!done.stderr.contains(words), "{done:?}");
        chown(setup.path("init.toml"), Some(33), Some(33)).unwrap();
        let file = setup.path("init.toml").display().to_string();
        let remedy = format!("chown -h root {file} && chmod go-w {file}");
        setup.run::<&str>(&[]).expect(0).says(&[words, &remedy]);
    }
}

#[test]
fn all_problems_are_told_at_once_with_their_remedies() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        user = "www-data"
        writable = ["DIR/ro", "DIR/theirs", "DIR/missing", "DIR/open"]
        directories = ["DIR/ro/storage/framework"]
        [[file]]
        source = "DIR/source"
        path = "DIR/ro/certificate"
        [[boot]]
        name = "first"
        command = ["touch", "DIR/open/started"]
        [[boot]]
        name = "second"
        command = ["no-such-program", "--option"]
        [[boot]]
        name = "third"
        command = ["DIR/plain"]
        [service.someone]
        command = ["sleep", "100"]
        user = "www-dato"
        [service.web]
        command = ["/no/such/php-fpm", "-F"]
        [cron.tick]
        schedule = "* * * * *"
        command = ["no-such-artisan"]
    "#;
    for place in PLACES {
        let setup = Setup::new(place, config).before(READ_ONLY);
        setup.file("theirs/file", "", 0o644);
        setup.file("plain", "#!/bin/sh\n", 0o644);
        setup.file("source", "x", 0o644);
        fs::create_dir(setup.path("open")).unwrap();
        chown(setup.path("open"), Some(33), Some(33)).unwrap();
        let done = setup.run::<&str>(&[]).expect(73).says(&[
            "/ro: the file system is read-only: declare a volume or tmpfs at",
            "/theirs as www-data: it belongs to 0:0 with mode 0755: chown it to 33:33 in the image before VOLUME",
            "/missing as www-data: it does not exist: make it in the image, or declare a volume there",
            "cannot start boot step \"second\": cannot find \"no-such-program\"",
            "install it in the image, or write its full path",
            "cannot start boot step \"third\": cannot execute",
            "has no execute permission (mode 0644): chmod +x",
            "cannot start service \"someone\": ",
            "did you mean \"www-data\"?",
            "cannot start service \"web\": cannot find \"/no/such/php-fpm\"",
            "cannot start cron entry \"tick\"",
            "9 problems must be mended",
            "boot failed: exiting with code 73",
        ]);
        assert!(!done.stderr.contains("/open"), "a good path is not mentioned: {done:?}");
        assert!(!done.stderr.contains("/ro/storage"), "mending /ro mends what is in it: {done:?}");
        assert_eq!(done.stdout, "");
        assert!(!setup.path("open/started").exists(), "nothing was started");
        assert_eq!(
            done.stderr.matches("ERROR").count(),
            11,
            "nine problems, their count, the verdict: {done:?}"
        );
    }
}

#[test]
fn the_code_is_that_of_the_first_problem() {
    if !need(NEEDS) {
        return;
    }
    for (config, code, words) in [
        ("user = \"no-such-user\"\nwritable = [\"DIR/missing\"]", 78, "no-such-user"),
        (
            "writable = [\"DIR/missing\"]\n[[boot]]\nname = \"x\"\ncommand = [\"no-such-program\"]",
            73,
            "DIR/missing",
        ),
        ("[[boot]]\nname = \"x\"\ncommand = [\"no-such-program\"]", 127, "no-such-program"),
        ("[[boot]]\nname = \"x\"\ncommand = [\"/etc/passwd\"]", 126, "/etc/passwd"),
    ] {
        for place in PLACES {
            for arguments in [&[][..], &["--", "true"]] {
                let setup = Setup::new(place, &format!("{config}\n[service.a]\ncommand = [\"true\"]\n"));
                let words = words.replace("DIR", setup.path("").to_str().unwrap().trim_end_matches('/'));
                setup.run(arguments).expect(code).says(&[&words]);
            }
        }
    }
}

#[test]
fn an_unwritable_state_directory_matters_only_where_it_is_needed() {
    if !need(NEEDS) {
        return;
    }
    let config = "state-dir = \"DIR/ro/state\"\n";
    let with_file = format!("{config}[[file]]\nsource = \"DIR/source\"\npath = \".env\"\n");
    for place in PLACES {
        let setup = Setup::new(place, config).before(READ_ONLY);
        assert_eq!(setup.sh("echo mine").expect(0).stderr, "");
        let setup = Setup::new(place, &with_file).before(READ_ONLY);
        setup.file("source", "A=b\n", 0o644);
        setup.sh("echo mine").expect(73).says(&["/ro/state", "declare a volume or tmpfs there"]);
    }
}

#[test]
fn empty_volumes_become_the_applications_with_all_that_it_needs() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        user = "www-data"
        work-dir = "DIR/app"
        writable = ["/tmp", "storage", "cache"]
        directories = ["storage/app/public", "storage/framework/views", "storage/logs", "cache"]
    "#;
    for place in PLACES {
        let setup = Setup::new(place, config);
        // As the platform makes them: root's, and an ext4 volume has its lost+found.
        fs::create_dir_all(setup.path("app/storage/lost+found")).unwrap();
        fs::create_dir_all(setup.path("app/cache")).unwrap();
        let before = owner(Path::new("/tmp"));
        setup.sh("touch storage/new storage/framework/views/new cache/new").expect(0);
        for path in
            ["storage", "storage/app", "storage/app/public", "storage/framework", "storage/logs", "cache"]
        {
            assert_eq!(owner(&setup.path("app").join(path)), (33, 33, 0o755), "{path}");
        }
        assert_eq!(owner(Path::new("/tmp")), before);
        // The second container of the volume finds everything in order.
        setup.sh("touch storage/newer").expect(0);
    }
}

#[test]
fn what_the_image_put_into_a_directory_keeps_its_owner() {
    if !need(NEEDS) {
        return;
    }
    let config = "user = \"www-data\"\nwork-dir = \"DIR/app\"\nwritable = [\"storage\"]\n";
    for place in PLACES {
        let setup = Setup::new(place, config);
        setup.file("app/storage/code.php", "", 0o644);
        setup.sh("true").expect(73).says(&["/app/storage as www-data: it belongs to 0:0"]);
        assert_eq!(owner(&setup.path("app/storage")).0, 0);
    }
}

#[test]
fn another_user_than_root_makes_what_it_may() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    let config = "user = \"www-data\"\nwork-dir = \"DIR/app\"\nwritable = [\"storage\"]\ndirectories = [\"storage/logs\"]\n";
    for place in PLACES {
        let wrapper = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
        let setup = Setup::new(place, config).through(&wrapper);
        fs::create_dir_all(setup.path("app/storage")).unwrap();
        let done = setup.sh("true").expect(73);
        assert!(
            done.stderr.contains(
                "/app/storage as uid 1000: it belongs to 0:0 with mode 0755: chown it to 1000:1000"
            ),
            "{done:?}"
        );
        chown(setup.path("app/storage"), Some(1000), Some(1000)).unwrap();
        setup.sh("touch storage/logs/new").expect(0);
        assert_eq!(owner(&setup.path("app/storage/logs")), (1000, 1000, 0o755));
    }
}

#[test]
fn a_trap_in_the_applications_directory_is_not_walked_into() {
    if !need(NEEDS) {
        return;
    }
    let config = "user = \"www-data\"\nwork-dir = \"DIR/app\"\ndirectories = [\"storage/framework/views\"]\n";
    let setup = Setup::new(Place::Child, config);
    fs::create_dir_all(setup.path("app/storage")).unwrap();
    fs::create_dir_all(setup.path("secret")).unwrap();
    chown(setup.path("app/storage"), Some(33), Some(33)).unwrap();
    let link = setup.path("app/storage/framework");
    std::os::unix::fs::symlink(setup.path("secret"), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(33), Some(33)).unwrap();
    setup.sh("true").expect(73).says(&["symbolic link that belongs to uid 33"]);
    assert_eq!(fs::read_dir(setup.path("secret")).unwrap().count(), 0);
}

#[test]
fn a_root_that_may_not_stop_what_it_starts_does_not_start_it() {
    if !need(&["root", "unshare", "setpriv"]) {
        return;
    }
    let config = "user = \"www-data\"\nwritable = [\"DIR\"]\n[service.a]\ncommand = [\"sleep\", \"100\"]\n";
    for place in PLACES {
        let setup = Setup::new(place, config).through(&["setpriv", "--bounding-set=-kill,-chown"]);
        let done =
            setup.run::<&str>(&[]).expect(71).says(&["root has no KILL in this container", "--user 33:33"]);
        assert_eq!(done.stderr.matches("ERROR").count(), 2, "one problem and the verdict: {done:?}");
    }
}

#[test]
fn an_application_that_is_not_there_is_told() {
    if !need(NEEDS) {
        return;
    }
    let step = "work-dir = \"DIR/app\"\n[[boot]]\nname = \"optimize\"\ncommand = [\"php\", \"artisan\", \"optimize\"]\n";
    for place in PLACES {
        let setup = Setup::new(place, step);
        fs::create_dir(setup.path("app")).unwrap();
        let done = setup.sh("true");
        assert!(done.stderr.contains("boot step \"optimize\": there is no artisan in "), "{done:?}");
        assert_eq!(done.code, 127, "{done:?}");
        // One that is fetched first is nobody's fault.
        let file = "[[file]]\nsource = \"DIR/source\"\npath = \"DIR/app/artisan\"\nmode = \"0644\"\n";
        let setup = Setup::new(place, &format!("{step}{file}"));
        fs::create_dir(setup.path("app")).unwrap();
        setup.file("source", "<?php exit(7);", 0o644);
        assert!(!setup.sh("true").stderr.contains("there is no artisan"));
    }
}
