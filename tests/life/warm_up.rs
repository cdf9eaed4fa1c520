//! The opcache warm-up in a real PHP-FPM, looked at through its own opcache_get_status() before the first visitor.

use crate::container::{Container, NEEDS, PATIENCE, in_order};
use crate::observe::gets;
use crate::support::{eventually, need, php_fpm};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

const CONF: &str = "[global]\nerror_log = /dev/stderr\ndaemonize = no\n[www]\nuser = www-data\ngroup = www-data\n\
    listen = @DIR/fpm.sock\nlisten.mode = 0666\npm = static\npm.max_children = 2\nclear_env = no\n";

/// What the pool's opcache holds, as JSON: names of scripts below the container's directory.
const LOOK: &str = "<?php echo implode(\"\\n\", array_keys(opcache_get_status(true)['scripts'] ?? []));";

/// Without a warm-up where `warm_up` is empty.
fn config(warm_up: &str, options: &str) -> String {
    let warm_up = if warm_up.is_empty() { String::new() } else { format!("warm-up = {{ {warm_up} }}") };
    let config = format!(
        r#"
        user = "www-data"
        [service.php-fpm]
        user = "root"
        command = ["@FPM", "-F", {options} "-d", "opcache.validate_timestamps=0", "-d", "opcache.file_update_protection=@PROTECTION"]
        stop-signal = "QUIT"
        stop-scope = "main"
        fpm = {{ config = "@DIR/fpm.conf" }}
        ready = {{ fastcgi = "@DIR/fpm.sock" }}
        {warm_up}
        "#
    );
    // A file that is younger than this is compiled and not kept, as the last line of the first test shows.
    let config = config
        .replace("@PROTECTION", if options.contains("young") { "3600" } else { "0" })
        .replace("\"young\",", "");
    config.replace("@FPM", php_fpm().unwrap().to_str().unwrap())
}

fn fpm(warm_up: &str, options: &str) -> Container {
    Container::new(&config(warm_up, options)).script("fpm.conf", CONF).script("look.php", LOOK)
}

fn put(container: &Container, name: &str, text: &str) {
    let path = container.file(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The scripts in the pool's cache, asked for as a web server would ask.
fn cached(container: &Container) -> Vec<String> {
    let script = container.file("look.php").display().to_string();
    let output = Command::new("cgi-fcgi")
        .args(["-bind", "-connect"])
        .arg(container.file("fpm.sock"))
        .env_clear()
        .envs([("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "/look.php"), ("SCRIPT_FILENAME", &script)])
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && answer.contains("look.php"), "{output:?}");
    let directory = format!("{}/", container.dir());
    answer.lines().filter_map(|line| Some(line.trim().strip_prefix(&directory)?.to_owned())).collect()
}

#[test]
fn every_file_is_compiled_before_the_pool_counts_as_ready() {
    if !need(&[NEEDS, &["php-fpm", "cgi-fcgi"]].concat()) {
        return;
    }
    let container = fpm("paths = [\"app\"], exclude = [\"app/uploads\"]", "");
    let mut many = String::new();
    for n in 0..200 {
        put(
            &container,
            &format!("app/{}/C{n}.php", n % 7),
            &format!("<?php class C{n} {{ function f() {{ return {n}; }} }}"),
        );
    }
    for n in 0..60 {
        let _ = writeln!(many, "function many{n}() {{}}");
    }
    put(&container, "app/same.php", "<?php class C1 {}\n");
    put(&container, "app/bad.php", "<?php this is no PHP");
    put(&container, "app/twice.php", "<?php function twice() {} function twice() {}");
    put(&container, "app/functions.php", &format!("<?php {many}"));
    put(&container, "app/uploads/evil.php", "<?php echo 1;");
    put(&container, "app/.git/hook.php", "<?php echo 1;");
    put(&container, "app/page.html", "<p>");
    let mut container = container.start();
    let log = container.says("php-fpm: ready after", 1);
    in_order(
        &log,
        &["php-fpm: started", "php-fpm: opcache warm-up: 202 files compiled", "php-fpm: ready after"],
    );
    assert!(
        log.contains("2 could not be (") && log.contains("bad.php") && log.contains("twice.php"),
        "{log}"
    );
    let cached = cached(&container);
    let app = cached.iter().filter(|name| name.starts_with("app/")).count();
    assert_eq!(app, 202, "{cached:?}");
    assert!(!cached.iter().any(|name| name.contains("evil") || name.contains("hook")), "{cached:?}");
    assert_eq!(container.stop(PATIENCE).0, 0);
    let young = fpm("paths = [\"app\"]", "\"young\",");
    put(&young, "app/a.php", "<?php echo 1;");
    let young = young.start();
    young.says("opcache warm-up: 0 files compiled, 1 could not be (", 1);
}

#[test]
fn without_opcache_or_a_script_it_may_run_the_pool_gets_ready_all_the_same() {
    if !need(&[NEEDS, &["php-fpm", "cgi-fcgi"]].concat()) {
        return;
    }
    let off = fpm("paths = [\"app\"]", "\"-d\", \"opcache.enable=0\",");
    put(&off, "app/a.php", "<?php echo 1;");
    let mut off = off.start();
    let log = off.says("php-fpm: ready after", 1);
    assert!(log.contains("opcache warm-up: opcache is off in this pool"), "{log}");
    assert_eq!(off.stop(PATIENCE).0, 0);
    let kept_out = fpm("paths = [\"app\"]", "\"-d\", \"open_basedir=/nowhere\",");
    let mut kept_out = kept_out.start();
    let log = kept_out.says("php-fpm: ready after", 1);
    assert!(log.contains("opcache warm-up: PHP-FPM may not run"), "{log}");
    assert_eq!(kept_out.stop(PATIENCE).0, 0);
}

#[test]
fn when_the_time_is_up_the_rest_is_left_and_the_pool_gets_ready() {
    if !need(&[NEEDS, &["php-fpm", "cgi-fcgi"]].concat()) {
        return;
    }
    // More than a millisecond's worth for two workers on any machine.
    let container = fpm("paths = [\"app\"], budget = \"1ms\", parallel = 2", "");
    for n in 0..500 {
        put(&container, &format!("app/{n}.php"), &format!("<?php class D{n} {{}}"));
    }
    let mut container = container.start();
    let log = container.says("php-fpm: ready after", 1);
    assert!(log.contains("left when the time was up: raise budget"), "{log}");
    let left =
        eventually("the pool answers", PATIENCE, || Some(cached(&container)).filter(|all| !all.is_empty()));
    assert!(left.iter().filter(|name| name.starts_with("app/")).count() < 500);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_warm_up_that_a_reload_adds_runs_at_the_next_start() {
    if !need(&[NEEDS, &["php-fpm"]].concat()) {
        return;
    }
    let container = fpm("", "");
    put(&container, "app/a.php", "<?php echo 1;");
    let mut container = container.start();
    container.says("php-fpm: ready after", 1);
    assert!(!container.file("state/warm-up.php").exists());
    container.configure(&config("paths = [\"app\"]", ""));
    container.signal("HUP");
    container.says("reloaded in", 1);
    let restart = Command::new(container.program())
        .args(["restart", "php-fpm", "--socket"])
        .arg(container.file("state/init.sock"))
        .output()
        .unwrap();
    assert!(restart.status.success(), "{restart:?}");
    container.says("opcache warm-up: 1 files compiled", 1);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn metrics_ask_the_pools_of_the_plan_that_runs() {
    if !need(&[NEEDS, &["php-fpm"]].concat()) {
        return;
    }
    let first = format!("{}\n[health]\nlisten = \"@DIR/health.sock\"\n", config("", ""));
    let second =
        config("", "").split_once("[service.php-fpm]").unwrap().1.replace("@DIR/fpm.", "@DIR/second.");
    let both = format!("{first}\n[service.second]{second}");
    let container = Container::new(&first)
        .script("fpm.conf", CONF)
        .script("second.conf", &CONF.replace("[www]", "[other]").replace("fpm.sock", "second.sock"));
    let mut container = container.start();
    container.says("php-fpm: ready after", 1);
    let socket = container.file("health.sock");
    let pools = || {
        let metrics = gets(&socket, "/metrics", 200);
        let up = metrics.lines().filter(|line| line.starts_with("php_init_fpm_up{"));
        up.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pools(), ["php-fpm"]);
    container.configure(&format!("{both}\n[[boot]]\nname = \"fails\"\ncommand = [\"false\"]\n"));
    container.signal("HUP");
    container.says("reload failed", 1);
    assert_eq!(pools(), ["php-fpm"], "a failed reload changes nothing");
    container.configure(&both);
    container.signal("HUP");
    container.says("reloaded in", 1);
    assert_eq!(pools(), ["php-fpm", "second"]);
    container.configure(&first);
    container.signal("HUP");
    container.says("reloaded in", 2);
    assert_eq!(pools(), ["php-fpm"], "that one is no service any more");
    assert_eq!(container.stop(PATIENCE).0, 0);
}
