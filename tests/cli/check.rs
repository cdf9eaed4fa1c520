//! `init check`: tells, and does nothing.

use crate::harness::{Place, Setup};
use crate::support::{need, repository};
use std::fs;

#[test]
fn it_has_no_side_effects() {
    let config = r#"
        user = "www-data"
        work-dir = "DIR/app"
        writable = ["storage"]
        directories = ["storage/logs"]
        [[file]]
        source = "DIR/source"
        path = ".env"
        [[boot]]
        name = "a"
        command = ["touch", "DIR/started"]
        [service.a]
        command = ["touch", "DIR/started"]
    "#;
    for arguments in [&["check"][..], &["check", "--print-config"], &["check", "--role", "web"]] {
        let setup = Setup::new(
            Place::Child,
            &config
                .replace("[service.a]", "[service.b]\ncommand = [\"true\"]\nroles = [\"web\"]\n[service.a]"),
        );
        setup.file("source", "A=S3CR3T\n", 0o600);
        let before = fs::read_dir(setup.path("")).unwrap().count();
        let done = setup.run(arguments).expect(0);
        assert_eq!(fs::read_dir(setup.path("")).unwrap().count(), before, "nothing was made");
        assert!(!done.all().contains("S3CR3T"));
        assert_eq!(done.stderr, "");
    }
}

#[test]
fn it_works_at_build_time_as_anyone() {
    if !need(&["root", "setpriv"]) {
        return;
    }
    // In a Dockerfile: no variables, no volumes, no application yet.
    let setup = Setup::new(Place::Child, "preset = \"laravel\"\n").through(&[
        "setpriv",
        "--reuid=1000",
        "--regid=1000",
        "--clear-groups",
    ]);
    let done = setup.run(&["check", "--no-host"]).expect(0);
    for words in ["preset laravel", "optimize", "php-fpm", "queue", "schedule", "migrate"] {
        assert!(done.stdout.contains(words), "{words}: {}", done.stdout);
    }
}

#[test]
fn what_it_prints_is_a_configuration() {
    for preset in ["laravel", "wordpress", "php", "none"] {
        let setup = Setup::new(Place::Child, &format!("preset = \"{preset}\"\n"));
        let printed = setup.run(&["check", "--print-config"]).expect(0).stdout;
        let again = Setup::new(Place::Child, &printed);
        let second = again.run(&["check", "--print-config"]).expect(0).stdout;
        let body = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(body(&second), body(&printed), "{preset}");
        if preset != "none" {
            let text = setup.run(&["check", "--print-preset", preset]).expect(0).stdout;
            assert_eq!(text, fs::read_to_string(repository(&format!("config/{preset}.toml"))).unwrap());
            Setup::new(Place::Child, &text).run(&["check", "--no-host"]).expect(0);
        }
    }
    // Neither a preset nor a file, as for tini's work alone.
    let (code, out, err) = crate::usage::bare(&["check", "--preset=none", "--print-config"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("none"), "{out}");
    let schema = Setup::new(Place::Child, "").run(&["check", "--print-schema"]).expect(0).stdout;
    assert_eq!(schema, fs::read_to_string(repository("config/schema.json")).unwrap());
    let _: serde_json::Value = serde_json::from_str(&schema).unwrap();
}

#[test]
fn the_configuration_of_the_readme_and_the_reference_are_valid() {
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        Setup::new(Place::Child, &format!("preset = \"laravel\"\n{block}"))
            .run(&["check", "--no-host"])
            .expect(0);
    }
}

#[test]
fn it_shows_no_secret_of_the_environment() {
    let config =
        "env = { API_TOKEN = \"${TOKEN}\" }\n[service.a]\ncommand = [\"x\", \"--password=${TOKEN}\"]\n";
    let setup = Setup::new(Place::Child, config).env("TOKEN", "S3CR3T");
    for arguments in [&["check", "--no-host"][..], &["check", "--print-config"]] {
        let done = setup.run(arguments).expect(0);
        assert!(!done.all().contains("S3CR3T"), "{done:?}");
    }
}

#[test]
fn every_problem_is_told_with_its_place() {
    let config = "stop-timeout = 25\n[service.a]\ncommand = \"not a list\"\nafter = [\"b\"]\n[service.b]\ncommand = [\"x\"]\nafter = [\"nobody\"]\n[cron.c]\nschedule = \"61 * * * *\"\ncommand = [\"x\"]\n";
    let done = Setup::new(Place::Child, config).run(&["check"]).expect(78);
    for words in
        ["init.toml:3:", "init.toml:5:", "init.toml:9:", "init.toml:11:", "4 problems; nothing was started"]
    {
        assert!(done.stderr.contains(words), "{words}:\n{}", done.stderr);
    }
    assert!(done.stderr.contains('^'), "the place is marked:\n{}", done.stderr);
}

/// What keeps a container from starting, with the code and the words of it, and whether it is this machine's fault.
const WRONG: &[(&str, i32, &str, bool)] = &[
    ("user = 'nobdoy'\n[service.a]\ncommand = ['true']\n", 78, "user \"nobdoy\" is not in /etc/passwd", true),
    ("[service.a]\nuser = 'root:no-such-group'\ncommand = ['true']\n", 78, "group \"no-such-group\"", true),
    ("[service.a]\ncommand = ['no-such-program']\n", 127, "cannot find \"no-such-program\"", true),
    ("[cron.a]\nschedule = '@daily'\ncommand = ['/etc/passwd']\n", 126, "no execute permission", true),
    ("[service.a]\nwork-dir = '/no/such'\ncommand = ['true']\n", 126, "no directory /no/such", true),
    (
        "work-dir = '/no/such'\n[[boot]]\nname = 'b'\ncommand = ['true']\n[service.a]\ncommand = ['true']\n",
        126,
        "cannot start boot step \"b\": there is no directory /no/such",
        true,
    ),
    ("crontabs = ['/no/such/crontab']\n", 78, "cannot read crontab /no/such/crontab", true),
    ("env = { A = 'b' }\n", 78, "has no service and no cron entry", false),
    ("[service.a]\ncommand = ['true']\ninstances = 0\n", 78, "instances is 1", false),
    ("[service.a]\ncommand = ['true']\ninstances = 1001\n", 78, "1000", false),
];

#[test]
fn it_finds_what_a_boot_would_fail_of() {
    if !need(&["root"]) {
        return;
    }
    for (config, code, words, of_host) in WRONG {
        let setup = Setup::new(Place::Child, config);
        let booted = setup.run::<&str>(&[]).expect(*code);
        assert!(booted.stderr.contains(words), "{config}:\n{}", booted.stderr);
        let checked = setup.run(&["check"]).expect(*code);
        assert!(checked.stderr.contains(words), "{config}:\n{}", checked.stderr);
        assert!(checked.stderr.contains("1 problem; nothing was started"), "{config}:\n{}", checked.stderr);
        setup.run(&["check", "--no-host"]).expect(if *of_host { 0 } else { *code });
    }
}

/// What root's boot makes of the state directory, which holds a file.
#[test]
fn it_refuses_a_state_directory_that_the_boot_refuses() {
    if !need(&["root"]) {
        return;
    }
    let file = "[[file]]\nsource = 'DIR/source'\npath = 'x.env'\n[service.a]\ncommand = ['true']\n";
    for (config, words) in [
        (
            "writable = ['DIR/theirs']\nstate-dir = 'DIR/theirs/state'\n",
            "which the application may write according to",
        ),
        ("state-dir = 'DIR/theirs/state'\n", "/theirs: it belongs to uid 33 with mode 0755"),
        ("state-dir = 'DIR/link/state'\n", "/link as root: it is a symbolic link that belongs to uid 33"),
        ("state-dir = 'DIR/source'\n", "/source: it is not a directory"),
        ("state-dir = '/tmp'\n", "cannot use state-dir /tmp: others write there as well"),
    ] {
        let setup = Setup::new(Place::Child, &format!("user = 'www-data'\n{config}{file}"));
        setup.file("source", "A=1\n", 0o600);
        fs::create_dir(setup.path("theirs")).unwrap();
        std::os::unix::fs::symlink("theirs", setup.path("link")).unwrap();
        for path in ["theirs", "link"] {
            std::os::unix::fs::lchown(setup.path(path), Some(33), Some(33)).unwrap();
        }
        for arguments in [&["check"][..], &[]] {
            let done = setup.run(arguments).expect(73);
            assert!(done.stderr.contains(words), "{arguments:?} {config}:\n{}", done.stderr);
        }
        setup.run(&["check", "--no-host"]).expect(0);
        assert_eq!(fs::read_dir(setup.path("theirs")).unwrap().count(), 0);
    }
    // The boot takes one of another user's over, and makes one that is missing.
    for dir in ["DIR/theirs", "DIR/none/below"] {
        let setup = Setup::new(Place::Child, &format!("user = 'www-data'\nstate-dir = '{dir}'\n{file}"));
        fs::create_dir(setup.path("theirs")).unwrap();
        std::os::unix::fs::lchown(setup.path("theirs"), Some(33), Some(33)).unwrap();
        setup.run(&["check"]).expect(0);
    }
}

#[test]
fn a_directory_that_is_made_first_is_not_missed() {
    let config = "work-dir = 'DIR'\ndirectories = ['made/below']\n[service.a]\nwork-dir = 'made'\ncommand = ['true']\n";
    Setup::new(Place::Child, config).run(&["check"]).expect(0);
    let config = "work-dir = 'DIR'\n[[boot]]\nname = 'm'\ncommand = ['mkdir', 'made']\n[service.a]\nwork-dir = 'made'\ncommand = ['true']\n";
    Setup::new(Place::Child, config).run(&["check"]).expect(0);
}
