//! Directories that are full, out of inodes, read-only or gone, and the mounts that every container has but this one.
//!
//! What is mounted is mounted in the container's own namespace; from outside its files are below /proc/PID/root.

use crate::client;
use crate::container::{Container, NEEDS, PATIENCE, kill};
use crate::support::cgroup::Cgroup;
use crate::support::{eventually, need};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A container whose namespace is changed by `script` before init starts.
fn changed(config: &str, script: &str) -> Container {
    let script = format!("mount --make-rprivate /\n{script}\nexec \"$@\"");
    Container::new(config).wrapped(&["sh", "-ec", &script, "sh"])
}

/// A path of the container as the container sees it.
fn within(container: &Container, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}/{path}", container.pid(), container.dir()))
}

fn socket(container: &Container) -> PathBuf {
    within(container, "state/init.sock")
}

/// Takes all the room that is left.
fn fill(container: &Container) {
    let mut ballast = fs::File::create(within(container, "state/ballast")).unwrap();
    while ballast.write(&[b'x'; 4096]).is_ok_and(|written| written > 0) {}
}

fn use_up_inodes(container: &Container) {
    let mut number = 0..;
    while number
        .next()
        .is_some_and(|number| fs::write(within(container, &format!("state/{number}")), "").is_ok())
    {}
}

fn free(container: &Container) {
    for entry in fs::read_dir(within(container, "state")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name == "ballast" || name.parse::<u32>().is_ok() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn remount(container: &Container, how: &str) {
    let (pid, state) = (container.pid().to_string(), format!("{}/state", container.dir()));
    let mut mount = Command::new("nsenter");
    mount.args(["-t", &pid, "-m", "mount", "-o", &format!("remount,{how}"), &state]);
    assert!(mount.status().unwrap().success());
}

const FETCHES: &str = r#"
    [[file]]
    source = "@DIR/source"
    path = "@DIR/state/.env"
    format = "dotenv"
    [service.web]
    command = ["sleep", "1000"]
    start-grace = "1ms"
"#;

const STATE: &str = "mkdir -p @DIR/state; mount -t tmpfs -o size=64k,nr_inodes=64,mode=0755 none @DIR/state";

/// What a reload staged is removed behind its verdict.
fn nothing_is_staged(container: &Container) {
    eventually("nothing of it is left", PATIENCE, || {
        let mut left = fs::read_dir(within(container, "state")).unwrap().flatten();
        left.all(|entry| !entry.file_name().to_str().unwrap().starts_with(".init-reload")).then_some(())
    });
}

/// Reloads while `break_it` holds: told with these words and changing nothing; and once it was mended, it works.
fn a_reload_fails_and_then_works(words: &str, break_it: fn(&Container), mend: fn(&Container)) {
    if !need(&[NEEDS, &["nsenter"]].concat()) {
        return;
    }
    let mut container = changed(FETCHES, STATE).script("source", "A=1\n").start();
    let pid = container.one("sleep 1000");
    client::status(&socket(&container));
    break_it(&container);
    fs::write(container.file("source"), format!("A=2\nB={}\n", "x".repeat(5000))).unwrap();
    let outcomes = client::outcomes(&socket(&container), r#""request":"reload""#);
    assert_eq!(outcomes[0].code, 73, "{outcomes:?}");
    container.says(words, 1);
    let env = || fs::read_to_string(within(&container, "state/.env")).unwrap();
    assert_eq!(env(), "A=1\n");
    nothing_is_staged(&container);
    // A service needs no room to be started again.
    kill(pid, "KILL");
    let status = || client::status(&socket(&container)).services.remove(0);
    eventually("it was restarted", PATIENCE, || status().pid.filter(|_| status().restarts == 1));
    mend(&container);
    let outcomes = client::outcomes(&socket(&container), r#""request":"reload""#);
    assert_eq!(outcomes[0].code, 0, "{outcomes:?}");
    assert!(env().starts_with("A=2\n"));
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_reload_into_a_full_directory_says_so_and_leaves_the_earlier_file() {
    a_reload_fails_and_then_works("system is full: make room", fill, free);
}

#[test]
fn a_reload_that_fills_its_directory_says_so_and_leaves_the_earlier_file() {
    // Room for a directory and a small file, and not for what comes.
    let nearly = |container: &Container| {
        fill(container);
        let ballast = fs::File::options().write(true).open(within(container, "state/ballast")).unwrap();
        ballast.set_len(ballast.metadata().unwrap().len() - 4096).unwrap();
    };
    a_reload_fails_and_then_works("is full: No space left", nearly, free);
}

#[test]
fn a_reload_without_an_inode_to_be_had_says_so_and_leaves_the_earlier_file() {
    a_reload_fails_and_then_works("has no inode left", use_up_inodes, free);
}

#[test]
fn a_reload_into_a_directory_that_became_read_only_says_so_and_leaves_the_earlier_file() {
    let break_it = |container: &Container| remount(container, "ro");
    a_reload_fails_and_then_works("is read-only", break_it, |container| remount(container, "rw"));
}

#[test]
fn a_state_directory_that_is_full_at_the_start_keeps_nobody_from_running() {
    if !need(NEEDS) {
        return;
    }
    let web = "[service.web]\ncommand = [\"sleep\", \"1000\"]\n";
    for (options, has_socket) in [("size=4k", true), ("nr_inodes=1", false)] {
        let script = format!(
            "mkdir -p @DIR/state; mount -t tmpfs -o mode=0755,{options} none @DIR/state; head -c 8k /dev/zero > @DIR/state/ballast || true"
        );
        let mut container = changed(web, &script).start();
        let first = container.one("sleep 1000");
        if has_socket {
            client::status(&socket(&container));
        } else {
            container.says("going on without a control socket", 1);
        }
        kill(first, "KILL");
        container.says("web: started", 2);
        assert_ne!(container.one("sleep 1000"), first);
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
}

#[test]
fn with_few_inodes_a_reload_is_done_whole_or_not_at_all() {
    if !need(NEEDS) {
        return;
    }
    let config = FETCHES
        .replace("[service", "[[file]]\nsource = \"@DIR/source\"\npath = \"@DIR/state/two\"\n[service");
    let mut container = changed(&config, STATE).script("source", "A=0\n").start();
    container.one("sleep 1000");
    let text = |name: &str| fs::read_to_string(within(&container, name)).unwrap();
    let (mut failed, mut worked) = (0, 0);
    for spare in 0..10 {
        use_up_inodes(&container);
        for number in 0..spare {
            fs::remove_file(within(&container, &format!("state/{number}"))).unwrap();
        }
        let before = text("state/.env");
        fs::write(container.file("source"), format!("A={}\n", spare + 1)).unwrap();
        let outcomes = client::outcomes(&socket(&container), r#""request":"reload""#);
        let now = if outcomes[0].ok { format!("A={}\n", spare + 1) } else { before };
        assert_eq!([text("state/.env"), text("state/two")], [now.clone(), now], "{spare}: {outcomes:?}");
        *(if outcomes[0].ok { &mut worked } else { &mut failed }) += 1;
        nothing_is_staged(&container);
    }
    assert!(failed >= 2 && worked >= 2, "{failed} failed, {worked} worked: {}", container.log());
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_state_directory_that_was_removed_is_made_anew_by_a_reload() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(FETCHES).script("source", "A=1\n").start();
    let first = container.one("sleep 1000");
    let socket = client::socket(&container);
    client::status(&socket);
    fs::remove_dir_all(container.file("state")).unwrap();
    // Nobody misses it but who asks.
    kill(first, "KILL");
    container.says("web: started", 2);
    container.signal("HUP");
    eventually("the file is there again", PATIENCE, || {
        (container.text("state/.env") == "A=1\n").then_some(())
    });
    assert!(client::verdicts(&socket).0);
    // And once more: the socket alone.
    fs::remove_file(&socket).unwrap();
    container.signal("HUP");
    assert!(client::verdicts(&socket).0);
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert!(!socket.exists());
    assert_eq!(container.survivors(), [""; 0]);
}

/// Boots, runs, restarts and stops all the same.
fn lives_with(script: &str, more: &str) {
    let mut container = changed(
        &format!(
            r#"
            {more}
            [[boot]]
            name = "step"
            command = ["true"]
            [service.web]
            command = ["sh", "-c", "echo here; (sleep 1001 &); exec sleep 1000"]
            [cron.second]
            schedule = "* * * * * *"
            command = ["echo", "ran"]
            "#
        ),
        script,
    )
    .script("source", "A=1\n")
    .start();
    container.says("here\n", 1);
    container.says("ran\n", 1);
    let first = container.one("sleep 1000");
    client::status(&socket(&container));
    kill(first, "KILL");
    container.says("here\n", 2);
    assert_ne!(container.one("sleep 1000"), first);
    // What the first run left in its group went with it.
    container.one("sleep 1001");
    assert_eq!(container.stop(PATIENCE).0, 0, "{}", container.log());
    assert_eq!(container.survivors(), [""; 0]);
}

const A_FILE: &str = "[[file]]\nsource = \"@DIR/source\"\npath = \"@DIR/state/.env\"\n";

#[test]
fn without_proc_it_boots_supervises_and_stops_but_fetches_nothing() {
    if !need(NEEDS) {
        return;
    }
    let nothing = "mount -t tmpfs none /proc; test ! -e /proc/self";
    lives_with(nothing, "");
    let mut container = changed(FETCHES, nothing).script("source", "A=1\n").start();
    assert_eq!(container.wait(PATIENCE), 71);
    assert!(container.log().contains("Is /proc mounted?"), "{}", container.log());
}

#[test]
fn a_proc_that_hides_what_belongs_to_others_is_enough() {
    if need(&[NEEDS, &["setpriv"]].concat()) {
        lives_with("mount -o remount,hidepid=2 /proc", &format!("user = \"www-data\"\n{A_FILE}"));
        let as_1000 = "chown 1000 @DIR; mount -o remount,hidepid=2 /proc; set -- setpriv --reuid 1000 --regid 1000 --clear-groups \"$@\"";
        lives_with(as_1000, A_FILE);
    }
}

#[test]
fn without_etc_passwd_users_are_numbers() {
    if !need(NEEDS) {
        return;
    }
    let empty = "mount -t tmpfs none /etc; test ! -e /etc/passwd";
    lives_with(empty, &format!("user = \"1000:1000\"\n{A_FILE}"));
    let mut container =
        changed("user = \"www-data\"\n[service.web]\ncommand = [\"sleep\", \"1000\"]\n", empty).start();
    assert_eq!(container.wait(PATIENCE), 78);
    let log = container.log();
    assert!(
        log.contains("user \"www-data\" is not in /etc/passwd") && !log.contains("web: started"),
        "{log}"
    );
}

#[test]
fn without_dev_it_says_what_is_missing() {
    if !need(NEEDS) {
        return;
    }
    let mut container =
        changed("[service.web]\ncommand = [\"sleep\", \"1000\"]\n", "mount -t tmpfs none /dev").start();
    container.says("web: cannot start \"sleep\": cannot open /dev/null: no such file or directory", 2);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

/// Mounts a file system at @DIR/volume that answers nothing, as a network file system whose server is gone: FUSE, with a
/// descriptor that nobody reads. It is init's, so its requests end with init.
const DEAD: &str = "mkdir -p @DIR/volume; exec 7<>/dev/fuse
    mount -i -t fuse -o fd=7,rootmode=40000,user_id=0,group_id=0 none @DIR/volume";

#[test]
fn a_boot_that_waits_for_a_dead_file_system_answers_names_it_and_can_be_stopped() {
    if !need(NEEDS) {
        return;
    }
    let config = "writable = [\"@DIR/volume\"]\n[service.web]\ncommand = [\"sleep\", \"1000\"]\n";
    let mut container = changed(config, DEAD).start();
    let log = container.says("preflight waits for", 1);
    assert!(
        log.contains(&format!("preflight waits for {}/volume, which has not answered", container.dir())),
        "{log}"
    );
    client::status(&socket(&container));
    assert_eq!(container.stop(PATIENCE).0, 0);
    container.says("stopped during boot by SIGTERM", 1);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_reload_that_waits_for_a_dead_file_system_keeps_nothing_else_waiting() {
    if !need(NEEDS) {
        return;
    }
    let config = "[service.web]\ncommand = [\"sleep\", \"1000\"]\nstart-grace = \"1ms\"\n";
    let mut container = changed(config, DEAD).start();
    let first = container.one("sleep 1000");
    container.configure(&format!("writable = [\"@DIR/volume\"]\n{config}"));
    container.signal("HUP");
    container.says("HUP: reloading", 1);
    let status = || client::status(&socket(&container)).services.remove(0);
    kill(first, "KILL");
    eventually("it was restarted", PATIENCE, || status().pid.filter(|_| status().restarts == 1));
    assert_eq!(container.stop(PATIENCE).0, 0);
    container.says("the reload ends here: the container stops", 1);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_reload_without_a_thread_to_be_had_fails_and_the_loop_waits_for_no_file_system() {
    if !need(&[NEEDS, &["cgroup"]].concat()) {
        return;
    }
    let group = Cgroup::new().unwrap();
    let config = "[service.web]\ncommand = [\"sleep\", \"1000\"]\nstart-grace = \"1ms\"\n";
    let enter = group.enter();
    let script = format!("mount --make-rprivate /\n{DEAD}\nexec \"$@\"");
    let words: Vec<&str> = enter.iter().map(String::as_str).chain(["sh", "-ec", &script, "sh"]).collect();
    let mut container = Container::new(config).wrapped(&words).start();
    let first = container.one("sleep 1000");
    let socket = socket(&container);
    client::status(&socket);
    group.limit_processes(1);
    container.configure(&format!("writable = [\"@DIR/volume\"]\n{config}"));
    let outcomes = client::outcomes(&socket, r#""request":"reload""#);
    assert_eq!(outcomes[0].code, 71, "{outcomes:?}");
    container.says("reload failed: cannot start a thread for files: resource temporarily unavailable (the limit of processes is reached", 1);
    // Everything stays as it was, and works as soon as there is room.
    assert_eq!(container.one("sleep 1000"), first);
    container.configure(config);
    group.limit_processes(1000);
    let outcomes = client::outcomes(&socket, r#""request":"reload""#);
    assert_eq!(outcomes[0].code, 0, "{outcomes:?}");
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

/// The dead file system of [`DEAD`] takes the place of @DIR/volume when this runs.
const DIES: &str = "mount -c --bind @DIR/dead @DIR/volume";

/// A container that has a directory @DIR/volume, which dies when [`DIES`] runs in it.
fn mortal(config: &str) -> Container {
    changed(config, &format!("mkdir -p @DIR/volume\n{}", DEAD.replace("volume", "dead")))
}

fn dies(container: &Container) {
    let (pid, dies) = (container.pid().to_string(), DIES.replace("@DIR", &container.dir()));
    let mut mount = Command::new("nsenter");
    mount.args(["-t", &pid, "-m", "--"]).args(dies.split(' '));
    assert!(mount.status().unwrap().success());
}

#[test]
fn a_configuration_on_a_dead_file_system_can_be_stopped_and_is_named() {
    if !need(NEEDS) {
        return;
    }
    let script = DEAD.to_owned() + "\nset -- \"$1\" --config @DIR/volume/init.toml";
    let mut container = changed("", &script).start();
    let log = container.says("the configuration waits for", 1);
    assert!(log.contains(&format!("waits for {}/volume/init.toml, which", container.dir())), "{log}");
    assert_eq!(container.stop(PATIENCE).0, 0);
    container.says("stopped during boot by SIGTERM", 1);
}

/// A boot during which @DIR/volume dies waits for `path`, says so, answers and stops.
fn a_boot_waits(config: &str, words: &str) {
    if !need(NEEDS) {
        return;
    }
    let config = format!(
        "{config}\n[[boot]]\nname = \"dies\"\ncommand = [\"sh\", \"-c\", \"{DIES}\"]\nVERIFY\n[service.web]\ncommand = [\"sleep\", \"1000\"]\n"
    );
    let verify = if words.contains("boot step") { "verify = \"laravel-optimize\"" } else { "" };
    let mut container = mortal(&config.replace("VERIFY", verify)).script("crontab", "@daily true\n").start();
    let log = container.says("which has not answered for", 1);
    let words = words.replace("@DIR", &container.dir());
    assert!(log.contains(&words), "{words:?} is not in {log}");
    client::status(&socket(&container));
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_crontab_whose_file_system_dies_during_the_boot_keeps_nobody_from_stopping() {
    a_boot_waits(
        "crontabs = [\"@DIR/volume/crontab\"]\n[[file]]\nsource = \"@DIR/crontab\"\npath = \"@DIR/volume/crontab\"\n",
        "supervision waits for @DIR/volume/crontab",
    );
}

#[test]
fn a_cache_whose_file_system_dies_during_the_boot_keeps_nobody_from_stopping() {
    a_boot_waits(
        "env = { APP_CONFIG_CACHE = \"@DIR/volume/config.php\" }\n",
        "boot step \"dies\" waits for @DIR/volume/config.php",
    );
}

#[test]
fn a_look_for_changes_beside_a_dead_file_system_keeps_nothing_else_waiting() {
    if !need(&[NEEDS, &["nsenter"]].concat()) {
        return;
    }
    let config = FETCHES.replace("state/.env", "volume/.env").replace("format", "refresh = \"1s\"\nformat");
    let mut container = mortal(&config).script("source", "A=1\n").start();
    let first = container.one("sleep 1000");
    dies(&container);
    // The first look after it never ends.
    let status = || client::status(&socket(&container)).services.remove(0);
    let staging = |name: &str| fs::read_to_string(name).is_ok_and(|name| name.trim() == "files");
    eventually("a look is under way", PATIENCE, || {
        let tasks = fs::read_dir(format!("/proc/{}/task", container.pid())).unwrap().flatten();
        tasks.into_iter().find(|task| staging(&format!("{}/comm", task.path().display()))).map(drop)
    });
    kill(first, "KILL");
    eventually("it was restarted", PATIENCE, || status().pid.filter(|_| status().restarts == 1));
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

/// A disk of its own at @DIR/state, which [`freeze`] can freeze.
const DISK: &str = "mkdir -p @DIR/state; truncate -s 8M @DIR/disk; mkfs.ext4 -q @DIR/disk; mount -o loop @DIR/disk @DIR/state";

/// `-f` freezes the disk, `-u` thaws it.
fn freeze(container: &Container, how: &str) {
    let (pid, state) = (container.pid().to_string(), format!("{}/state", container.dir()));
    let freeze = ["-t", &pid, "-m", "fsfreeze", how, &state];
    assert!(Command::new("nsenter").args(freeze).status().unwrap().success());
}

/// Lasts as long as a file system may take until it is given up.
#[test]
fn while_a_thread_that_was_given_up_hangs_there_is_no_other() {
    if !need(&[NEEDS, &["nsenter", "fsfreeze", "mkfs.ext4"]].concat()) {
        return;
    }
    let config = FETCHES.replace("format", "refresh = \"1s\"\nformat");
    let mut container = changed(&config, DISK).script("source", "A=1\n").start();
    container.one("sleep 1000");
    freeze(&container, "-f");
    eventually("the look is given up", Duration::from_secs(90), || {
        container.errors().contains("state has not answered within").then_some(())
    });
    let words = "cannot refresh: an earlier reload or refresh still waits for";
    container.says(words, 1);
    let outcomes = client::outcomes(&socket(&container), r#""request":"reload""#);
    assert_eq!(outcomes[0].code, 124, "{outcomes:?}");
    assert!(outcomes[0].text.contains("nothing is reloaded or refreshed until that answers"), "{outcomes:?}");
    let tasks = fs::read_dir(format!("/proc/{}/task", container.pid())).unwrap().flatten();
    let comms = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    assert_eq!(comms.filter(|comm| comm.trim() == "files").count(), 1);
    assert_eq!(container.errors().matches(words).count(), 1);
    freeze(&container, "-u");
    container.says("reloads and refreshes are possible again", 1);
    let outcomes = client::outcomes(&socket(&container), r#""request":"reload""#);
    assert_eq!(outcomes[0].code, 0, "{outcomes:?}");
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_reload_that_cannot_place_its_files_for_a_while_keeps_nothing_else_waiting() {
    if !need(&[NEEDS, &["nsenter", "fsfreeze", "mkfs.ext4"]].concat()) {
        return;
    }
    let config = format!(
        "{}[[boot]]\nname = \"freeze\"\ncommand = [\"sh\", \"-c\", \"test ! -e @DIR/reloads || fsfreeze -f @DIR/state\"]\n",
        FETCHES
    );
    let mut container = changed(&config, DISK).script("source", "A=1\n").start();
    let first = container.one("sleep 1000");
    fs::write(container.file("source"), "A=2\n").unwrap();
    fs::write(container.file("reloads"), "").unwrap();
    container.signal("HUP");
    container.says("boot step \"freeze\" done", 2);
    let status = || client::status(&socket(&container)).services.remove(0);
    kill(first, "KILL");
    eventually("it was restarted", PATIENCE, || status().pid.filter(|_| status().restarts == 1));
    container.signal("HUP");
    container.says("a reload is under way: another one follows", 1);
    fs::remove_file(container.file("reloads")).unwrap();
    freeze(&container, "-u");
    container.says("reloaded in", 2);
    let env = fs::read_to_string(within(&container, "state/.env")).unwrap();
    assert_eq!(env, "A=2\n");
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}
