//! init's own secrets, and a process of the same user that looks for them in every other process.

use crate::container::{Container, NEEDS, PATIENCE, Place};
use crate::support::{eventually, init, need};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

/// Executes its arguments as uid 1000 without capabilities, as Docker does for a `USER`. setpriv(1) would drop them only by
/// the exec, and the kernel looks at those of before when it decides whether the process may read its program.
const AS_1000: &[&str] = &[
    "perl",
    "-MPOSIX",
    "-e",
    "$) = '1000 1000'; setgid(1000); setuid(1000) or die; exec { $ARGV[0] } @ARGV or die",
];

fn as_1000(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(AS_1000[0]);
    command.args(&AS_1000[1..]).arg(program);
    command
}

/// Reads the environment, the standard input and, where `$ARGV[1]` says so, the memory of the youngest processes in a loop.
/// A line for each process in which a canary is found: the canary, where it was, the command line.
const SPY: &str = r#"
use strict; use warnings; no warnings 'portable'; use Fcntl;
my ($to, $memory) = @ARGV;
open(my $out, '>>', $to) or die; select((select($out), $| = 1)[0]);
my %seen;
sub found {
    my ($pid, $place, $text) = @_;
    while ($text =~ /(CANARY-\w+)/g) {
        next if $seen{"$pid $place $1"}++;
        my $command = '';
        if (open(my $in, '<', "/proc/$pid/cmdline")) { local $/; $command = <$in> // ''; $command =~ tr/\0/ /; }
        print $out "$1 $place $command\n";
    }
}
print $out "looking\n";
while (1) {
    open(my $load, '<', '/proc/loadavg') or die; my $last = (split ' ', <$load>)[4];
    for my $pid ($last - 6 .. $last + 6) {
        next if $pid == $$;
        if (open(my $in, '<', "/proc/$pid/environ")) { local $/; my $text = <$in>; found($pid, 'environ', $text) if defined $text; }
        if (sysopen(my $in, "/proc/$pid/fd/0", O_RDONLY | O_NONBLOCK)) { sysread($in, my $text, 65536); found($pid, 'stdin', $text) if defined $text; }
        next unless $memory && open(my $maps, '<', "/proc/$pid/maps") && open(my $mem, '<:raw', "/proc/$pid/mem");
        while (my $line = <$maps>) {
            my ($from, $end) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) rw/ or next;
            sysseek($mem, hex $from, 0);
            sysread($mem, my $text, hex($end) - hex($from) > 1 << 20 ? 1 << 20 : hex($end) - hex($from));
            found($pid, 'memory', $text) if defined $text;
        }
    }
}
"#;

struct Spy {
    process: Child,
}

impl Spy {
    /// Starts to look, and shows that it finds what can be found.
    fn start(container: &Container, memory: bool) -> Self {
        fs::write(container.file("spy"), SPY).unwrap();
        let process = as_1000("/usr/bin/perl")
            .args([container.file("spy"), container.file("spied")])
            .args(memory.then_some("memory"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let spy = Self { process };
        eventually("the spy finds what is open to it", PATIENCE, || {
            let mut open = as_1000("/bin/sleep").arg("0.2").env("PLAIN", "CANARY-plain").spawn().unwrap();
            open.wait().unwrap();
            let found = container.text("spied");
            (found.contains("CANARY-plain environ /bin/sleep")
                && (!memory || found.contains("CANARY-plain memory /bin/sleep")))
            .then_some(())
        });
        spy
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a spy has seen in processes of this container's program. It sees those of other tests as well.
fn seen(container: &Container) -> Vec<String> {
    let found = container.text("spied");
    let program = format!(" {} ", container.program().display());
    found.lines().filter(|line| line.contains(&program)).map(str::to_owned).collect()
}

/// An init of uid 1000 whose program has this mode, with a file that it fetches.
fn container(mode: u32) -> Container {
    Container::new(
        r#"
        [[file]]
        source = "@DIR/source.env"
        path = "@DIR/state/.env"
        format = "dotenv"
        refresh = "1s"
        decrypt = { format = "laravel-if-encrypted" }
        [service.web]
        command = ["sleep", "1000"]
        start-grace = "1ms"
        [migrate]
        command = ["sleep", "0.1"]
        "#,
    )
    .script("source.env", "A=1\n")
    .place(Place::Pid1)
    .binary(mode)
    .wrapped(AS_1000)
    .env("AWS_SECRET_ACCESS_KEY", "CANARY-key")
    .env("AWS_SESSION_TOKEN", "CANARY-token")
    .env("LARAVEL_ENV_ENCRYPTION_KEY", "CANARY-decrypt")
}

/// Boot, reloads, looks for changes, health checks with init's environment, stop; then a migration.
fn life(container: Container) -> Container {
    let mut container = container.start();
    container.says("web: started", 1);
    for round in 1..=20 {
        container.says("reloaded in", round - 1);
        container.signal("HUP");
    }
    container.says("reloaded in", 20);
    fs::write(container.file("source.env"), "A=2\n").unwrap();
    container.says("changed: reloading", 1);
    for _ in 0..20 {
        let pid = container.pid().to_string();
        let health = Command::new("nsenter")
            .args(["--target", &pid, "--pid", "--mount"])
            .args(AS_1000)
            .arg(container.program())
            .args(["health", "--level", "alive", "--socket"])
            .arg(container.file("state/init.sock"))
            .env("AWS_SECRET_ACCESS_KEY", "CANARY-health")
            .output()
            .unwrap();
        assert!(health.status.success(), "{health:?}");
    }
    assert_eq!(container.stop(PATIENCE).0, 0);
    let mut container = container.arguments(&["--migrate"]).start();
    assert_eq!(container.wait(PATIENCE), 0, "{}", container.log());
    container
}

#[test]
fn the_fetch_child_has_no_secret_in_its_environment() {
    if !need(&[NEEDS, &["nsenter"]].concat()) {
        return;
    }
    let container = container(0o755);
    let spy = Spy::start(&container, false);
    let container = life(container);
    drop(spy);
    let seen: Vec<String> = seen(&container).into_iter().filter(|line| line.contains("fetch")).collect();
    assert_eq!(seen, [""; 0]);
}

/// The kernel makes a process undumpable that may not read its own program, at its exec (fs/exec.c, `would_dump`).
#[test]
fn nothing_of_init_can_be_read_where_its_program_cannot() {
    if !need(&[NEEDS, &["nsenter"]].concat()) {
        return;
    }
    // Tests of tests/sys set it to other values; 1 makes such processes dumpable. They lock it as well.
    let setting = fs::File::open("/proc/sys/fs/suid_dumpable").unwrap();
    setting.lock_shared().unwrap();
    let container = container(0o711);
    let spy = Spy::start(&container, true);
    let container = life(container);
    drop(spy);
    assert_eq!(seen(&container), [""; 0]);
}

#[test]
fn a_command_hides_its_environment_while_it_waits() {
    if !need(&["root", "perl"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = dir.path().join("silent.sock");
    // It takes connections and never answers.
    let _silent = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    for arguments in [&["health"][..], &["status"], &["logs", "-f"]] {
        let mut command = as_1000(init())
            .args(arguments)
            .arg("--socket")
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // proc(5): what is not dumpable belongs to root there.
        let environ = format!("/proc/{}/environ", command.id());
        eventually(&format!("{arguments:?} waits and is hidden"), PATIENCE, || {
            let program = fs::read_link(format!("/proc/{}/exe", command.id())).ok()?;
            let hidden = fs::metadata(&environ).ok()?.uid() == 0;
            (program == init() && hidden).then_some(())
        });
        command.kill().unwrap();
        command.wait().unwrap();
    }
}

/// Records its environment by the kind of child that it is, and goes on as the rest of its arguments. The record is there
/// whole or not at all: a stop may end the child at any moment.
const RECORD: &str =
    "#!/bin/sh\nkind=$1; shift; env > @DIR/env/part.$$\nmv @DIR/env/part.$$ @DIR/env/$kind.$$; exec \"$@\"\n";

#[test]
fn no_kind_of_child_gets_a_secret_of_init() {
    if !need(NEEDS) {
        return;
    }
    let container = Container::new(
        r#"
        [[file]]
        source = "@DIR/source.env"
        path = "@DIR/state/.env"
        decrypt = { format = "laravel-if-encrypted", key-env = "OWN_KEY" }
        [[boot]]
        name = "step"
        command = ["@DIR/record", "boot", "true"]
        [service.web]
        command = ["@DIR/record", "service", "sleep", "1000"]
        ready = { command = ["@DIR/record", "ready", "true"] }
        live = { command = ["@DIR/record", "live", "true"], interval = "100ms" }
        [cron.tick]
        schedule = "0 0 1 1 *"
        command = ["@DIR/record", "cron", "true"]
        [migrate]
        command = ["@DIR/record", "migrate", "true"]
        "#,
    )
    .script("source.env", "A=1\n")
    .script("record", RECORD)
    .env("PLAIN", "given to everyone")
    .env("OWN_KEY", "CANARY-own");
    let names = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "LARAVEL_ENV_ENCRYPTION_KEY",
    ];
    let container = names.into_iter().fold(container, |container, name| container.env(name, "CANARY-known"));
    fs::create_dir(container.file("env")).unwrap();
    let records = |container: &Container, kind: &str| -> Vec<String> {
        let entries = fs::read_dir(container.file("env")).unwrap().map(|entry| entry.unwrap().path());
        let of_kind = |path: &std::path::PathBuf| path.file_stem().is_some_and(|stem| stem == kind);
        entries.filter(of_kind).map(|path| fs::read_to_string(path).unwrap()).collect()
    };
    let mut container = container.start();
    container.says("web: ready after", 1);
    let run = Command::new(container.program())
        .args(["run", "tick", "--socket"])
        .arg(container.file("state/init.sock"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    for kind in ["live", "cron"] {
        eventually(kind, PATIENCE, || (!records(&container, kind).is_empty()).then_some(()));
    }
    container.signal("HUP");
    container.says("reloaded in", 1);
    assert_eq!(container.stop(PATIENCE).0, 0);
    for arguments in [
        &["--migrate"][..],
        &["--", "@DIR/record", "one-off", "true"],
        &["--no-boot", "--", "@DIR/record", "bare", "true"],
    ] {
        let dir = container.dir();
        let arguments: Vec<String> = arguments.iter().map(|word| word.replace("@DIR", &dir)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        container = container.arguments(&arguments).start();
        assert_eq!(container.wait(PATIENCE), 0, "{}", container.log());
    }
    assert!(records(&container, "boot").len() >= 2, "at boot and at the reload");
    for kind in ["boot", "service", "ready", "live", "cron", "migrate", "one-off", "bare"] {
        let found = records(&container, kind);
        assert!(!found.is_empty(), "{kind}");
        for environment in found {
            assert!(environment.contains("PLAIN=given to everyone"), "{kind}: {environment}");
            assert!(!environment.contains("CANARY"), "{kind}: {environment}");
        }
    }
}
